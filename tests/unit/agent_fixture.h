/*
 * agent_fixture.h - a folder of its own for tests of the agent's modules
 *
 * Needs the headers of cmocka before it. The folder and all in it is removed by tear_down_folder.
 */
#ifndef TESTS_UNIT_AGENT_FIXTURE_H
#define TESTS_UNIT_AGENT_FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "executor/agent/files.h"

static char folder_path[64];
static int folder;

static int set_up_folder(void **state)
{
	(void)state;
	strcpy(folder_path, "/tmp/stoker-unit-XXXXXX");
	if (mkdtemp(folder_path) == NULL)
		return -1;
	folder = open(folder_path, O_RDONLY | O_DIRECTORY);
	return folder < 0 ? -1 : 0;
}

static int tear_down_folder(void **state)
{
	(void)state;
	close(folder);
	return files_remove(AT_FDCWD, folder_path);
}

static inline void put_file(const char *name, const void *bytes, size_t n)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(files_write(fd, bytes, n), 0);
	close(fd);
}

static inline void put_text_file(const char *name, const char *text)
{
	put_file(name, text, strlen(text));
}

#endif
