#include <jansson.h>
#include <string.h>

#include "common/clock.h"
#include "common/scope.h"
#include "dag/duration.h"
#include "dag/naming.h"
#include "dag/suggest.h"
#include "scheduler/command.h"
#include "scheduler/listing.h"
#include "scheduler/token.h"
#include "scheduler/view.h"
#include "web/auth.h"

struct arguments {
	const char *verb;
	const char *operand; /* revoke: the name */
	const char *role;
	const char *name;
	const char *expires;
	bool json;
};

static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "role", required_argument, NULL, 'r' },    { "name", required_argument, NULL, 'n' },
		{ "expires", required_argument, NULL, 'e' }, { "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = command_option(&command_token, argc, argv, "", options)) != -1) {
		if (option == 'r')
			out->role = optarg;
		else if (option == 'n')
			out->name = optarg;
		else if (option == 'e')
			out->expires = optarg;
		else if (option == 'j')
			out->json = true;
		else
			return COMMAND_USAGE;
	}
	out->verb = optind < argc ? argv[optind++] : "list";
	if (strcmp(out->verb, "revoke") == 0 && optind < argc)
		out->operand = argv[optind++];
	if (optind < argc)
		return command_usage(&command_token, "'%s' is one too many", argv[optind]);
	if (strcmp(out->verb, "create") != 0 && (out->role != NULL || out->name != NULL || out->expires != NULL))
		return command_usage(&command_token, "--role, --name and --expires belong to 'token create'");
	return 0;
}

/* --- create ----------------------------------------------------------------------------------------------- */

static int read_row(const struct arguments *arguments, const char *actor, int64_t now_wall_ms, struct token_row *out)
{
	int64_t lasts_ms;
	size_t at;
	struct err err;

	if (arguments->role == NULL)
		return command_usage(&command_token, "what may it? --role viewer, operator or admin");
	out->role = auth_role_of(arguments->role);
	if (out->role == WEB_NOBODY)
		return command_usage(&command_token, "there is no role '%s'; there are viewer, operator, admin",
				     arguments->role);
	out->name = arguments->name == NULL ? actor : arguments->name;
	if (!naming_valid(out->name))
		return command_usage(&command_token,
				     "'%s' cannot be the name of a token: letters, digits, '_', '.' and '-'; give one with"
				     " --name",
				     out->name);
	if (arguments->expires == NULL)
		return 0;
	if (duration_parse(arguments->expires, &lasts_ms, &at, &err) < 0 || lasts_ms <= 0)
		return command_usage(&command_token, "--expires is how long it lasts, as in 90d or 12h, not '%s'",
				     arguments->expires);
	out->expires_wall_ms = now_wall_ms + lasts_ms;
	return 0;
}

static int open_store(struct arena *arena, struct store **store_out, struct err *err)
{
	const char *home;

	if (store_home(arena, &home, err) < 0)
		return err->code;
	return store_open(home, store_out, err);
}

/* The secret goes to stdout alone, so that a script can keep it without reading more. */
static void print_token(const struct token_row *row, const char *secret, bool json)
{
	if (json) {
		autojson json_t *answer = json_pack("{s:s, s:s, s:s}", "token", row->name, "role",
						    auth_role_name(row->role), "secret", secret);

		listing_print_json(answer);
		return;
	}
	fprintf(stderr, "stoker: token %s, %s; this is shown once, and kept nowhere:\n", row->name,
		auth_role_name(row->role));
	puts(secret);
}

static int create_token(const struct arguments *arguments, struct arena *arena)
{
	const char *actor = command_actor(arena);
	int64_t now_wall_ms = clock_wall_ms();
	char secret[AUTH_SECRET_BYTES], digest[WEB_DIGEST_BYTES];
	struct token_row row = { 0 };
	autostore struct store *store = NULL;
	struct err err;

	if (read_row(arguments, actor, now_wall_ms, &row) != 0)
		return COMMAND_USAGE;
	if (auth_make_secret(AUTH_TOKEN_PREFIX, secret, &err) < 0)
		return command_fail(&err);
	row.digest = auth_digest(secret, digest);
	if (open_store(arena, &store, &err) < 0 ||
	    token_add(store, &row, actor, command_origin(arena), now_wall_ms, &err) < 0)
		return command_fail(&err);
	print_token(&row, secret, arguments->json);
	return command_end_output();
}

/* --- revoke, list ----------------------------------------------------------------------------------------- */

static int revoke_token(const struct arguments *arguments, struct arena *arena)
{
	autostore struct store *store = NULL;
	struct err err;

	if (arguments->operand == NULL)
		return command_usage(&command_token, "which one? `stoker token list` shows them");
	if (open_store(arena, &store, &err) < 0 ||
	    token_revoke(store, arguments->operand, command_actor(arena), command_origin(arena), clock_wall_ms(),
			 &err) < 0)
		return command_fail(&err);
	fprintf(stderr, "stoker: token %s is revoked, and the sessions made with it are over\n", arguments->operand);
	return COMMAND_DONE;
}

static void print_table(const json_t *answer)
{
	static const struct table_column columns[] = { { "TOKEN", false },   { "ROLE", false },	  { "STATE", false },
						       { "CREATED", false }, { "BY", false },	  { "EXPIRES", false } };
	json_t *tokens = json_object_get(answer, "tokens"), *token;
	int64_t now_wall_ms = clock_wall_ms();
	autotable struct table table;
	size_t i;

	table_init(&table, columns, COUNT_OF(columns));
	json_array_foreach(tokens, i, token) {
		table_text(&table, TERMINAL_BOLD, listing_text(token, "token"));
		table_text(&table, TERMINAL_PLAIN, listing_text(token, "role"));
		table_text(&table, TERMINAL_PLAIN, listing_text(token, "state"));
		listing_add_when(&table, listing_time(token, "created"), now_wall_ms);
		table_text(&table, TERMINAL_PLAIN, listing_text(token, "created_by"));
		table_text(&table, TERMINAL_PLAIN,
			   listing_time(token, "expires") == 0 ? "never" : listing_text(token, "expires"));
	}
	table_print(&table, stdout);
}

static int list_tokens(const struct arguments *arguments)
{
	autostore struct store *store = NULL;
	autojson json_t *answer = NULL;
	struct err err;
	int rc = command_open_reader(&store, &err);

	if (rc == ERR_NOT_FOUND)
		answer = json_pack("{s:[]}", "tokens"); /* no state yet, so no token */
	else if (rc < 0 || token_list(store, clock_wall_ms(), &answer, &err) < 0)
		return command_fail(&err);
	if (arguments->json)
		listing_print_json(answer);
	else
		print_table(answer);
	return command_end_output();
}

static int refuse_verb(const char *verb)
{
	struct suggest near = suggest_for(verb);

	suggest_offer(&near, "create", NULL);
	suggest_offer(&near, "list", NULL);
	suggest_offer(&near, "revoke", NULL);
	if (suggest_best(&near) != NULL)
		return command_usage(&command_token, "there is no 'token %s'; did you mean '%s'?", verb,
				     suggest_best(&near));
	return command_usage(&command_token, "there is no 'token %s'; there are create, list, revoke", verb);
}

static int token_command(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct arena arena;
	int status = read_arguments(argc, argv, &arguments);

	if (status != 0)
		return status;
	arena_init(&arena);
	if (strcmp(arguments.verb, "create") == 0)
		status = create_token(&arguments, &arena);
	else if (strcmp(arguments.verb, "revoke") == 0)
		status = revoke_token(&arguments, &arena);
	else if (strcmp(arguments.verb, "list") == 0)
		status = list_tokens(&arguments);
	else
		status = refuse_verb(arguments.verb);
	arena_fini(&arena);
	return status;
}

const struct command command_token = {
	.name = "token",
	.synopsis = "[list] [--json] | create --role ROLE [--name NAME] [--expires TIME] | revoke NAME",
	.summary = "what lets somebody use the page and the API from elsewhere",
	.help = "On this machine everybody may read the page, and the owner may do everything by way of the\n"
		"commands. For all else there are tokens.\n"
		"\n"
		"  create            makes one and prints it, this once; it stands in the audit trail\n"
		"      --role ROLE     viewer: reads; operator: also starts, cancels, retries, pauses, drains;\n"
		"                      admin: also reloads\n"
		"      --name NAME     by which it is listed and revoked (your own)\n"
		"      --expires TIME  how long it is good for, as in 90d (for ever)\n"
		"  revoke NAME       it is good for nothing from now on\n"
		"  list              those that there are and were; --json for scripts\n"
		"\n"
		"Send it as `Authorization: Bearer stoker_...`, or log in with it on the page.\n",
	.main = token_command,
};
