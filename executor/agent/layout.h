/*
 * layout.h - does a checkpoint look whole, by the rules of whatever wrote it?
 *
 *   zip          *.ckpt (Lightning), *.pt *.pth (torch), *.npz *.keras: directory at the end, what it names
 *   safetensors  header and offsets cover the file exactly
 *   HDF5         *.h5 *.hdf5: the end of file its superblock names
 *   folders      checkpoint-N/ of Hugging Face (trainer_state.json, weights, every shard of an index),
 *                torch distributed (.metadata, written last), others: each file in it that has rules
 *   groups       TensorFlow (all parts, and the index with its closing word), Keras (weights and metadata)
 *
 * UNKNOWN is no rule for such a thing; it may be whole. GOOD is a proof as good as its format allows: with
 * `thorough` the sums that a zip keeps of stored members are checked too, which reads the whole file.
 *
 * Sources: PKWARE APPNOTE 6.3.9, 4.3 and 4.4; HDF5 File Format Specification 3.0, II.A; safetensors README,
 * "Format".
 */
#ifndef EXECUTOR_AGENT_LAYOUT_H
#define EXECUTOR_AGENT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum layout_verdict {
	LAYOUT_UNKNOWN,
	LAYOUT_GOOD,
	LAYOUT_BAD,	   /* what is there contradicts itself */
	LAYOUT_INCOMPLETE, /* something that belongs to it is not there (yet) */
};

struct layout {
	enum layout_verdict verdict;
	const char *format; /* as in struct record_checkpoint */
	int64_t step;	    /* what is written inside; -1: nothing */
	char text[400];	    /* why it is not good */
};

void layout_check(int dir, const char *entry, bool thorough, struct layout *out);

#endif
