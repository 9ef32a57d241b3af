#include "executor/hostkey.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/mem.h"
#include "common/scope.h"
#include "executor/base64.h"

enum { HMAC_BYTES = 20, SSH_PORT = 22 };

enum marker { MARKER_NONE, MARKER_REVOKED, MARKER_OTHER };

/* A word of a line. */
struct word {
	const char *text;
	size_t n;
};

/* One line that could be read. */
struct entry {
	enum marker marker;
	struct word names;
	char type[HOSTKEY_TYPE_BYTES];
	const uint8_t *key;
	size_t key_bytes;
	const char *file;
	int line;
};

typedef void visit_entry(void *context, const struct entry *entry);

/* --- names ---------------------------------------------------------------------------------------------- */

/* '*' and '?'; without regard to case. Linear but for the last '*', to which it goes back. */
static bool pattern_matches(struct word pattern, const char *name)
{
	size_t p = 0, star = pattern.n;
	const char *star_name = NULL;

	while (*name != '\0') {
		if (p < pattern.n && pattern.text[p] == '*') {
			star = p++;
			star_name = name;
		} else if (p < pattern.n &&
			   (pattern.text[p] == '?' ||
			    tolower((unsigned char)pattern.text[p]) == tolower((unsigned char)*name))) {
			p++;
			name++;
		} else if (star_name != NULL) {
			p = star + 1;
			name = ++star_name;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.text[p] == '*')
		p++;
	return p == pattern.n;
}

/* "|1|salt|hash" */
static bool hash_matches(struct word hashed, const char *name)
{
	const char *salt = hashed.text + strlen("|1|");
	const char *end = hashed.text + hashed.n;
	const char *bar = memchr(salt, '|', (size_t)(end - salt));
	autobuf struct buf key = { 0 }, hash = { 0 };
	unsigned char computed[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (bar == NULL || !base64_decode(&key, salt, (size_t)(bar - salt)) ||
	    !base64_decode(&hash, bar + 1, (size_t)(end - bar - 1)) || hash.bytes != HMAC_BYTES ||
	    key.bytes != HMAC_BYTES)
		return false;
	if (HMAC(EVP_sha1(), key.data, (int)key.bytes, (const unsigned char *)name, strlen(name), computed,
		 &n) == NULL)
		return false;
	return n == HMAC_BYTES && memcmp(computed, hash.data, HMAC_BYTES) == 0;
}

/* A list of patterns, of which a negated one that matches decides against all others. */
static bool names_match(struct word names, const char *name)
{
	bool matched = false;

	if (names.n > 3 && memcmp(names.text, "|1|", 3) == 0)
		return hash_matches(names, name);
	while (names.n > 0) {
		const char *comma = memchr(names.text, ',', names.n);
		struct word pattern = { names.text, comma == NULL ? names.n : (size_t)(comma - names.text) };
		size_t whole = pattern.n + (comma != NULL);
		bool negated = pattern.n > 0 && pattern.text[0] == '!';

		if (negated) {
			pattern.text++;
			pattern.n--;
		}
		if (pattern.n > 0 && pattern_matches(pattern, name)) {
			if (negated)
				return false;
			matched = true;
		}
		names.text += whole;
		names.n -= whole;
	}
	return matched;
}

static void put_name(struct buf *out, const char *host, int port)
{
	if (port == SSH_PORT || port == 0)
		buf_printf(out, "%s", host);
	else
		buf_printf(out, "[%s]:%d", host, port);
}

/* --- lines ---------------------------------------------------------------------------------------------- */

static struct word next_word(const char **at, const char *end)
{
	struct word word;

	while (*at < end && (**at == ' ' || **at == '\t'))
		(*at)++;
	word.text = *at;
	while (*at < end && **at != ' ' && **at != '\t')
		(*at)++;
	word.n = (size_t)(*at - word.text);
	return word;
}

static bool word_is(struct word word, const char *text)
{
	return word.n == strlen(text) && memcmp(word.text, text, word.n) == 0;
}

/* False for an empty line, a comment, and what is no entry. `key` holds the decoded key. */
static bool parse_line(const char *at, const char *end, struct entry *entry, struct buf *key)
{
	struct word word, type;

	if (end > at && end[-1] == '\r')
		end--;
	word = next_word(&at, end);
	if (word.n == 0 || word.text[0] == '#')
		return false;
	entry->marker = MARKER_NONE;
	if (word.text[0] == '@') {
		entry->marker = word_is(word, "@revoked") ? MARKER_REVOKED : MARKER_OTHER;
		word = next_word(&at, end);
	}
	entry->names = word;
	type = next_word(&at, end);
	word = next_word(&at, end);
	buf_clear(key);
	if (word.n == 0 || !base64_decode(key, word.text, word.n) ||
	    !hostkey_type(key->data, key->bytes, entry->type) || !word_is(type, entry->type))
		return false;
	entry->key = key->data;
	entry->key_bytes = key->bytes;
	return true;
}

static void each_line(const char *file, const struct buf *text, visit_entry *visit, void *context)
{
	const char *at = buf_text(text), *end = at + text->bytes;
	autobuf struct buf key = { 0 };

	for (int line = 1; at < end; line++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct entry entry = { .file = file, .line = line };

		if (newline == NULL)
			newline = end;
		if (parse_line(at, newline, &entry, &key))
			visit(context, &entry);
		at = newline + 1;
	}
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return err_errno(err, "read the known hosts of %s", path);
	do {
		buf_reserve(out, 65536);
		n = read(fd, out->data + out->bytes, 65536);
		if (n < 0)
			return err_errno(err, "read the known hosts of %s", path);
		out->bytes += (size_t)n;
		out->data[out->bytes] = '\0';
		if (out->bytes > HOSTKEY_FILE_BYTES_MAX)
			return err_set(err, ERR_LIMIT, "read the known hosts of %s: more than %d MiB", path,
				       HOSTKEY_FILE_BYTES_MAX >> 20);
	} while (n > 0);
	return 0;
}

static int each_entry(const struct hostkey_place *place, visit_entry *visit, void *context, struct err *err)
{
	for (size_t i = 0; i < place->files_count; i++) {
		autobuf struct buf text = { 0 };

		if (read_file(place->files[i], &text, err) < 0)
			return err == NULL ? ERR_IO : (int)err->code;
		each_line(place->files[i], &text, visit, context);
	}
	return 0;
}

/* --- judging -------------------------------------------------------------------------------------------- */

struct judge {
	struct hostkey_finding *finding;
	const char *name;	/* with its port */
	const char *plain_name; /* without; NULL: not to be looked for */
	const uint8_t *key;
	size_t key_bytes;
	bool known_plain; /* by the name without port; `plain_file`, `plain_line` */
	const char *plain_file;
	int plain_line;
};

static void point_at(struct hostkey_finding *finding, const char *file, int line)
{
	snprintf(finding->file, sizeof finding->file, "%s", file);
	finding->line = line;
}

static void add_type(char types[HOSTKEY_TYPES_BYTES], const char *type)
{
	size_t used = strlen(types), n = strlen(type);

	for (const char *at = types; (at = strstr(at, type)) != NULL; at += n)
		if ((at == types || at[-1] == ',') && (at[n] == ',' || at[n] == '\0'))
			return;
	if (used + n + 2 <= HOSTKEY_TYPES_BYTES)
		snprintf(types + used, HOSTKEY_TYPES_BYTES - used, "%s%s", used > 0 ? "," : "", type);
}

static void judge_entry(void *context, const struct entry *entry)
{
	struct judge *judge = context;
	struct hostkey_finding *finding = judge->finding;
	bool same = entry->key_bytes == judge->key_bytes &&
		    memcmp(entry->key, judge->key, judge->key_bytes) == 0;
	bool named = names_match(entry->names, judge->name);
	bool named_plain = judge->plain_name != NULL && names_match(entry->names, judge->plain_name);

	if (finding->answer == HOSTKEY_REVOKED || entry->marker == MARKER_OTHER || (!named && !named_plain))
		return;
	if (entry->marker == MARKER_REVOKED) {
		if (same) {
			finding->answer = HOSTKEY_REVOKED;
			point_at(finding, entry->file, entry->line);
		}
	} else if (!named) {
		if (same && !judge->known_plain) {
			judge->known_plain = true;
			judge->plain_file = entry->file;
			judge->plain_line = entry->line;
		}
	} else if (same) {
		if (finding->answer != HOSTKEY_KNOWN)
			point_at(finding, entry->file, entry->line);
		finding->answer = HOSTKEY_KNOWN;
	} else {
		add_type(finding->other_types, entry->type);
		if (finding->answer == HOSTKEY_UNKNOWN && strcmp(entry->type, finding->type) == 0) {
			finding->answer = HOSTKEY_CHANGED;
			point_at(finding, entry->file, entry->line);
			hostkey_fingerprint(entry->key, entry->key_bytes, finding->old_fingerprint);
		}
	}
}

int hostkey_check(const struct hostkey_place *place, const uint8_t *key, size_t n,
		  struct hostkey_finding *finding_out, struct err *err)
{
	struct hostkey_finding finding = { .answer = HOSTKEY_UNKNOWN };
	autobuf struct buf name = { 0 };
	struct judge judge = { .finding = &finding, .key = key, .key_bytes = n };
	int rc;

	if (!hostkey_type(key, n, finding.type))
		return err_set(err, ERR_CORRUPT, "the host's key is malformed");
	hostkey_fingerprint(key, n, finding.fingerprint);
	hostkey_name(place, &name);
	judge.name = buf_text(&name);
	if (place->alias == NULL && strcmp(judge.name, place->host) != 0)
		judge.plain_name = place->host;
	rc = each_entry(place, judge_entry, &judge, err);
	if (rc < 0)
		return rc;
	if (judge.known_plain && finding.answer == HOSTKEY_UNKNOWN) {
		finding.answer = HOSTKEY_KNOWN;
		point_at(&finding, judge.plain_file, judge.plain_line);
	}
	*finding_out = finding;
	return 0;
}

struct collector {
	const char *name;
	const char *plain_name;
	char *types;
};

static void collect_type(void *context, const struct entry *entry)
{
	struct collector *collector = context;

	if (entry->marker == MARKER_NONE &&
	    (names_match(entry->names, collector->name) ||
	     (collector->plain_name != NULL && names_match(entry->names, collector->plain_name))))
		add_type(collector->types, entry->type);
}

int hostkey_types(const struct hostkey_place *place, char types[HOSTKEY_TYPES_BYTES], struct err *err)
{
	autobuf struct buf name = { 0 };
	struct collector collector = { .types = types };

	types[0] = '\0';
	hostkey_name(place, &name);
	collector.name = buf_text(&name);
	if (place->alias == NULL && strcmp(collector.name, place->host) != 0)
		collector.plain_name = place->host;
	return each_entry(place, collect_type, &collector, err);
}

/* --- writing -------------------------------------------------------------------------------------------- */

void hostkey_name(const struct hostkey_place *place, struct buf *out)
{
	if (place->alias != NULL)
		put_name(out, place->alias, 0);
	else
		put_name(out, place->host, place->port);
}

static void take_first(void *context, const struct entry *entry)
{
	struct buf *key = context;

	if (key->bytes == 0)
		buf_append(key, entry->key, entry->key_bytes);
}

int hostkey_first(const char *file, struct buf *key_out, struct err *err)
{
	const struct hostkey_place place = { .files = &file, .files_count = 1, .host = "" };
	autobuf struct buf key = { 0 };
	int rc = each_entry(&place, take_first, &key, err);

	if (rc < 0)
		return rc;
	if (key.bytes == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no key in %s", file);
	buf_append(key_out, key.data, key.bytes);
	return 0;
}

static bool ends_with_newline(int fd)
{
	struct stat st;
	char last = '\n';

	return fstat(fd, &st) < 0 || st.st_size == 0 || pread(fd, &last, 1, st.st_size - 1) != 1 ||
	       last == '\n';
}

int hostkey_add(const char *file, const struct hostkey_place *place, const uint8_t *key, size_t n,
		struct err *err)
{
	autofree char *copy = mem_strdup(file);
	autobuf struct buf line = { 0 };
	autoclose int fd = -1;
	char type[HOSTKEY_TYPE_BYTES];

	if (!hostkey_type(key, n, type))
		return err_set(err, ERR_CORRUPT, "the host's key is malformed");
	if (mkdir(dirname(copy), 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make the folder of %s", file);
	fd = open(file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "write %s", file);
	if (!ends_with_newline(fd))
		buf_append_byte(&line, '\n');
	hostkey_name(place, &line);
	buf_printf(&line, " %s ", type);
	base64_encode(&line, key, n, true);
	buf_append_byte(&line, '\n');
	if (write(fd, line.data, line.bytes) != (ssize_t)line.bytes)
		return err_errno(err, "write %s", file);
	return 0;
}

struct remover {
	const char *name;
	int *lines; /* in order */
	size_t count;
	size_t room;
	int shared_line; /* 0: none */
};

static void collect_line(void *context, const struct entry *entry)
{
	struct remover *remover = context;
	bool hashed = entry->names.n > 3 && memcmp(entry->names.text, "|1|", 3) == 0;

	if (entry->marker != MARKER_NONE || !names_match(entry->names, remover->name))
		return;
	if (!hashed && (entry->names.n != strlen(remover->name) ||
			strncasecmp(entry->names.text, remover->name, entry->names.n) != 0))
		remover->shared_line = entry->line;
	mem_grow(&remover->lines, &remover->room, remover->count, sizeof *remover->lines);
	remover->lines[remover->count++] = entry->line;
}

static void copy_without(const struct buf *text, const struct remover *remover, struct buf *out)
{
	const char *at = (const char *)text->data, *end = at + text->bytes;
	size_t next = 0;

	for (int line = 1; at < end; line++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline == NULL ? end : newline + 1;

		if (next < remover->count && remover->lines[next] == line)
			next++;
		else
			buf_append(out, at, (size_t)(stop - at));
		at = stop;
	}
}

/* Beside it and renamed, for a killed program must not cost anybody his known hosts. */
static int replace_file(const char *file, const struct buf *text, struct err *err)
{
	autofree char *real = realpath(file, NULL);
	autofree char *temporary = mem_printf("%s.stoker-%d", real == NULL ? file : real, (int)getpid());
	autoclose int fd = -1;
	struct stat st;

	if (real == NULL || stat(real, &st) < 0)
		return err_errno(err, "read %s", file);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "write %s", temporary);
	if (write(fd, text->data, text->bytes) != (ssize_t)text->bytes || fchmod(fd, st.st_mode & 0777) < 0 ||
	    fsync(fd) < 0 || rename(temporary, real) < 0) {
		err_errno(err, "write %s", temporary);
		unlink(temporary);
		return err == NULL ? ERR_IO : (int)err->code;
	}
	return 0;
}

int hostkey_remove(const char *file, const struct hostkey_place *place, struct err *err)
{
	autobuf struct buf name = { 0 }, text = { 0 }, rest = { 0 };
	struct remover remover = { .lines = NULL };
	autofree int *lines = NULL;
	int rc = read_file(file, &text, err);

	if (rc < 0)
		return rc;
	hostkey_name(place, &name);
	remover.name = buf_text(&name);
	each_line(file, &text, collect_line, &remover);
	lines = remover.lines;
	if (remover.shared_line > 0)
		return err_set(err, ERR_EXISTS,
			       "%s:%d names %s together with other hosts: change that line by hand", file,
			       remover.shared_line, remover.name);
	if (remover.count == 0)
		return 0;
	copy_without(&text, &remover, &rest);
	rc = replace_file(file, &rest, err);
	return rc < 0 ? rc : (int)remover.count;
}

const char *hostkey_fingerprint(const uint8_t *key, size_t n, char text[HOSTKEY_FINGERPRINT_BYTES])
{
	autobuf struct buf encoded = { 0 };
	uint8_t bytes[DIGEST_BYTES];
	struct digest digest;

	digest_init(&digest);
	digest_add(&digest, key, n);
	digest_end(&digest, bytes);
	base64_encode(&encoded, bytes, sizeof bytes, false);
	snprintf(text, HOSTKEY_FINGERPRINT_BYTES, "SHA256:%s", buf_text(&encoded));
	return text;
}

bool hostkey_type(const uint8_t *key, size_t n, char type[HOSTKEY_TYPE_BYTES])
{
	size_t length;

	if (n < 4)
		return false;
	length = (size_t)key[0] << 24 | (size_t)key[1] << 16 | (size_t)key[2] << 8 | key[3];
	if (length == 0 || length > n - 4 || length >= HOSTKEY_TYPE_BYTES)
		return false;
	for (size_t i = 0; i < length; i++)
		if (key[4 + i] <= ' ' || key[4 + i] >= 127 || key[4 + i] == ',')
			return false;
	memcpy(type, key + 4, length);
	type[length] = '\0';
	return true;
}
