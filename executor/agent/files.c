#include "executor/agent/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "common/mem.h"
#include "common/scope.h"

enum {
	READ_BYTES = 64 * 1024,
	DEPTH_MAX = 64,
	OPEN_MAX_OLD = 65536,
	RENAME_NEW_ONLY = 1 /* RENAME_NOREPLACE */
};

int files_write(int fd, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	while (n > 0) {
		ssize_t done = write(fd, at, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int files_read(int dir, const char *path, size_t limit_bytes, struct buf *out)
{
	autoclose int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	size_t before = out->bytes;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	for (;;) {
		size_t more = st.st_size > 0 && out->bytes == before ? (size_t)st.st_size + 1 : READ_BYTES;
		ssize_t n;

		if (more > limit_bytes + 1 - (out->bytes - before))
			more = limit_bytes + 1 - (out->bytes - before);
		buf_reserve(out, more);
		n = read(fd, out->data + out->bytes, more);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		out->bytes += (size_t)n;
		out->data[out->bytes] = '\0';
		if (out->bytes - before > limit_bytes) {
			errno = EFBIG;
			return -1;
		}
		if (out->bytes - before == (size_t)st.st_size)
			break; /* A regular file's size is its end: saves the read that says so. */
	}
	return 0;
}

int files_rename_new(int dir, const char *from, const char *to)
{
	if (syscall(SYS_renameat2, dir, from, dir, to, RENAME_NEW_ONLY) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* File systems without it: a link cannot replace anything either. */
	if (linkat(dir, from, dir, to, 0) < 0)
		return -1;
	unlinkat(dir, from, 0);
	return 0;
}

int files_replace(int dir, const char *path, const void *bytes, size_t n, int sync)
{
	autofree char *temporary = mem_printf("%s.%ld.tmp", path, (long)getpid());
	autoclose int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
				  0600);
	int saved;

	if (fd < 0)
		return -1;
	if (files_write(fd, bytes, n) == 0 && (!sync || fsync(fd) == 0) &&
	    renameat(dir, temporary, dir, path) == 0)
		return 0;
	saved = errno;
	unlinkat(dir, temporary, 0);
	errno = saved;
	return -1;
}

void files_close_from(int first)
{
	long max;

	if (syscall(SYS_close_range, (unsigned)first, ~0U, 0) == 0)
		return;
	max = sysconf(_SC_OPEN_MAX); /* kernels before 5.9 */
	for (int fd = first; fd < (max > 0 && max < OPEN_MAX_OLD ? max : OPEN_MAX_OLD); fd++)
		close(fd);
}

int files_make_folders(const char *path)
{
	autofree char *parent = NULL;
	char *slash;

	if (mkdir(path, 0700) == 0)
		return 1;
	if (errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -1;
	parent = mem_strdup(path);
	slash = strrchr(parent, '/');
	if (slash == NULL || slash == parent) {
		errno = ENOENT;
		return -1;
	}
	*slash = '\0';
	if (files_make_folders(parent) < 0)
		return -1;
	return mkdir(path, 0700) == 0 ? 1 : errno == EEXIST ? 0 : -1;
}

static int remove_tree(int dir, const char *path, int depth)
{
	int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *folder;

	if (fd < 0)
		return unlinkat(dir, path, 0);
	if (depth >= DEPTH_MAX || (folder = fdopendir(fd)) == NULL) {
		close(fd);
		errno = ELOOP;
		return -1;
	}
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		/* Most are files; a folder answers EISDIR (or EPERM elsewhere) and is then walked. */
		if (entry->d_type == DT_DIR || unlinkat(fd, entry->d_name, 0) < 0)
			remove_tree(fd, entry->d_name, depth + 1);
	}
	closedir(folder);
	return unlinkat(dir, path, AT_REMOVEDIR);
}

bool files_is(int fd, const char *path)
{
	struct stat open, named;

	return fstat(fd, &open) == 0 && stat(path, &named) == 0 && open.st_dev == named.st_dev &&
	       open.st_ino == named.st_ino;
}

int files_remove(int dir, const char *path)
{
	return remove_tree(dir, path, 0) == 0 || errno == ENOENT ? 0 : -1;
}

/*
 * Eight tables: eight bytes a turn, which keeps up with a disk.
 * Source: Kounavis and Berry, "Slicing-by-8", 2005.
 */
uint32_t files_crc32(uint32_t crc, const void *bytes, size_t n)
{
	static uint32_t table[8][256];
	static bool ready;
	const uint8_t *at = bytes;

	if (!ready) {
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;

			for (int bit = 0; bit < 8; bit++)
				c = c & 1 ? 0xedb88320U ^ c >> 1 : c >> 1;
			table[0][i] = c;
		}
		for (int t = 1; t < 8; t++)
			for (int i = 0; i < 256; i++)
				table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
		ready = true;
	}
	crc = ~crc;
	for (; n >= 8; n -= 8, at += 8) {
		uint32_t a = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
				    (uint32_t)at[3] << 24);

		crc = table[7][a & 255] ^ table[6][a >> 8 & 255] ^ table[5][a >> 16 & 255] ^
		      table[4][a >> 24] ^ table[3][at[4]] ^ table[2][at[5]] ^ table[1][at[6]] ^
		      table[0][at[7]];
	}
	for (; n > 0; n--, at++)
		crc = crc >> 8 ^ table[0][(crc ^ *at) & 255];
	return ~crc;
}
