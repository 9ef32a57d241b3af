#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum err_code err_code_of(int sys_errno)
{
	switch (sys_errno) {
	case ENOENT:
	case ENOTDIR:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case EAGAIN:
	case EBUSY:
		return ERR_BUSY;
	case ENOSPC:
	case EDQUOT:
		return ERR_FULL;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	default:
		return ERR_IO;
	}
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
	va_list args;

	if (err == NULL)
		return code;
	err->code = code;
	err->sys_errno = 0;
	va_start(args, format);
	vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	return code;
}

int err_errno(struct err *err, const char *format, ...)
{
	int saved = errno;
	va_list args;
	size_t used;

	if (err == NULL)
		return err_code_of(saved);
	err->code = err_code_of(saved);
	err->sys_errno = saved;
	va_start(args, format);
	vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(saved));
	return err->code;
}

int err_wrap(struct err *err, const char *format, ...)
{
	char before[sizeof err->text];
	va_list args;
	size_t used;

	if (err == NULL)
		return ERR_IO;
	va_start(args, format);
	vsnprintf(before, sizeof before - 2, format, args);
	va_end(args);
	strcat(before, ": ");
	used = strlen(before);
	memmove(err->text + used, err->text, sizeof err->text - used);
	memcpy(err->text, before, used);
	err->text[sizeof err->text - 1] = '\0';
	return err->code;
}
