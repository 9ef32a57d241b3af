/*
 * file.h - bytes into a file, all of them
 */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include <stddef.h>
#include <stdint.h>

/* 0, or -1 with errno; an interrupted or partial write is gone on with. */
int file_write_at(int fd, uint64_t offset, const uint8_t *bytes, size_t n);

#endif
