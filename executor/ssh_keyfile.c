#include "executor/ssh_keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/mem.h"
#include "common/scope.h"
#include "executor/base64.h"
#include "executor/ssh_wire.h"

static const char openssh_magic[] = "openssh-key-v1"; /* its NUL counts */

/* --- what it holds --------------------------------------------------------------------------------------- */

/* What stands between the first line and the last, without its line ends. */
static bool decode_body(const char *text, struct buf *out)
{
	const char *at = strchr(text, '\n'), *end = at == NULL ? NULL : strstr(at, "-----END");
	autobuf struct buf body = { 0 };

	if (end == NULL)
		return false;
	for (; at < end; at++)
		if (*at != '\n' && *at != '\r' && *at != ' ')
			buf_append_byte(&body, (uint8_t)*at);
	return body.bytes > 0 && base64_decode(out, buf_text(&body), body.bytes);
}

static int parse_openssh(const char *text, struct ssh_keyfile *out, struct err *err)
{
	autobuf struct buf body = { 0 };
	struct ssh_wire wire, cipher, skipped, key;

	if (!decode_body(text, &body) || body.bytes < sizeof openssh_magic ||
	    memcmp(body.data, openssh_magic, sizeof openssh_magic) != 0)
		return err_set(err, ERR_CORRUPT, "it is damaged");
	/* Cipher, derivation of its key and options of that, the number of keys, which is 1, the public key. */
	wire = (struct ssh_wire){ body.data, body.bytes };
	if (!ssh_wire_skip(&wire, sizeof openssh_magic) || !ssh_wire_take_string(&wire, &cipher) ||
	    !ssh_wire_take_string(&wire, &skipped) || !ssh_wire_take_string(&wire, &skipped) ||
	    !ssh_wire_skip(&wire, 4) || !ssh_wire_take_string(&wire, &key) ||
	    !hostkey_type(key.at, key.left, out->type))
		return err_set(err, ERR_CORRUPT, "it is damaged");
	out->encrypted = cipher.left != 4 || memcmp(cipher.at, "none", 4) != 0;
	buf_append(&out->public_key, key.at, key.left);
	return 0;
}

/* "ssh-ed25519 AAAA... comment" */
static bool parse_public(const char *text, struct ssh_keyfile *out)
{
	size_t type_bytes = strcspn(text, " \t\r\n");
	const char *key = text + type_bytes + strspn(text + type_bytes, " \t");
	autobuf struct buf decoded = { 0 };
	char type[HOSTKEY_TYPE_BYTES];

	if (!base64_decode(&decoded, key, strcspn(key, " \t\r\n")) ||
	    !hostkey_type(decoded.data, decoded.bytes, type) || strlen(type) != type_bytes ||
	    memcmp(type, text, type_bytes) != 0)
		return false;
	memcpy(out->type, type, sizeof type);
	buf_clear(&out->public_key);
	buf_append(&out->public_key, decoded.data, decoded.bytes);
	return true;
}

int ssh_keyfile_parse(const char *text, size_t n, struct ssh_keyfile *out, struct err *err)
{
	static const struct {
		const char *begin, *type;
	} pems[] = {
		{ "-----BEGIN RSA PRIVATE KEY-----", "ssh-rsa" },
		{ "-----BEGIN DSA PRIVATE KEY-----", "ssh-dss" },
		{ "-----BEGIN EC PRIVATE KEY-----", "ecdsa-sha2" },
		{ "-----BEGIN PRIVATE KEY-----", "" },
		{ "-----BEGIN ENCRYPTED PRIVATE KEY-----", "" },
	};

	*out = (struct ssh_keyfile){ .encrypted = false };
	if (strlen(text) != n)
		return err_set(err, ERR_INVALID, "it is no private key");
	text += strspn(text, " \t\r\n");
	if (strncmp(text, "-----BEGIN OPENSSH PRIVATE KEY-----", 35) == 0)
		return parse_openssh(text, out, err);
	for (size_t i = 0; i < COUNT_OF(pems); i++) {
		if (strncmp(text, pems[i].begin, strlen(pems[i].begin)) != 0)
			continue;
		snprintf(out->type, sizeof out->type, "%s", pems[i].type);
		out->encrypted = strstr(text, "ENCRYPTED") != NULL;
		return 0;
	}
	if (!parse_public(text, out))
		return err_set(err, ERR_INVALID, "it is no private key");
	out->public_only = true;
	return 0;
}

/* --- files ---------------------------------------------------------------------------------------------- */

static int read_file(const char *path, struct buf *out, struct err *err)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	ssize_t n = 1;

	if (fd < 0 || fstat(fd, &st) < 0) {
		int code = errno;

		return err_set(err, err_code_of(code), "%s", strerror(code));
	}
	if (!S_ISREG(st.st_mode) || st.st_size > SSH_KEYFILE_BYTES_MAX)
		return err_set(err, ERR_INVALID, "it is no private key");
	while (n > 0 && out->bytes < SSH_KEYFILE_BYTES_MAX) {
		buf_reserve(out, 4096);
		n = read(fd, out->data + out->bytes, 4096);
		if (n < 0)
			return err_set(err, ERR_IO, "%s", strerror(errno));
		out->bytes += (size_t)n;
		out->data[out->bytes] = '\0';
	}
	return 0;
}

/* PEM does not say which it is; the file beside it does. */
static void read_public(const char *path, struct ssh_keyfile *keyfile)
{
	autofree char *beside = mem_printf("%s.pub", path);
	autobuf struct buf text = { 0 };
	struct err err;

	if (read_file(beside, &text, &err) == 0)
		parse_public(buf_text(&text), keyfile);
}

int ssh_keyfile_read(const char *path, struct ssh_keyfile *out, struct err *err)
{
	autofree char *certificate = mem_printf("%s-cert.pub", path);
	autobuf struct buf text = { 0 };
	struct ssh_keyfile keyfile;
	int rc = read_file(path, &text, err);

	if (rc == 0)
		rc = ssh_keyfile_parse(buf_text(&text), text.bytes, &keyfile, err);
	if (text.data != NULL)
		explicit_bzero(text.data, text.room);
	if (rc < 0)
		return rc;
	if (keyfile.public_key.bytes == 0)
		read_public(path, &keyfile);
	keyfile.certified = access(certificate, F_OK) == 0;
	*out = keyfile;
	return 0;
}

void ssh_keyfile_fini(struct ssh_keyfile *keyfile)
{
	buf_fini(&keyfile->public_key);
}
