#include "scheduler/registry.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/scope.h"
#include "dag/diagnostic.h"

/* What tells that a file is another one than before. */
struct identity {
	dev_t device;
	ino_t inode;
	off_t bytes;
	struct timespec modified;
};

struct file {
	struct registry_file seen; /* what others see; its texts are owned here */
	char *path;
	char *error; /* of the file itself */
	char *twin;  /* an earlier file defines a DAG of this name already */
	struct identity identity;
	bool read;    /* once, at least */
	bool present; /* in the look at hand */
};

struct place {
	char *path;
	uv_fs_event_t watch;
	bool watched;
};

struct registry {
	uv_loop_t *loop;
	const struct registry_handler *handler;
	void *context;
	struct place **places;
	size_t places_count;
	struct file *files; /* sorted by path */
	struct registry_file *shown;
	size_t files_count;
	size_t files_room;
	uv_timer_t look;
	uv_timer_cb on_look_due;
	uv_timer_t settle; /* a change was seen: more of it may come */
	bool stopping;
};

struct registry_dag *registry_hold(struct registry_dag *dag)
{
	dag->holders++;
	return dag;
}

void registry_release(struct registry_dag *dag)
{
	if (dag == NULL || --dag->holders > 0)
		return;
	dag_free(dag->dag);
	free(dag);
}

/* --- reading a file ------------------------------------------------------------------------------------- */

static void put_in_force(struct file *file, struct dag *dag)
{
	registry_release(file->seen.good);
	file->seen.good = mem_zalloc(sizeof *file->seen.good);
	file->seen.good->dag = dag;
	file->seen.good->holders = 1;
}

/* What an earlier daemon had in force stays so, although the file is broken now. */
static void recall(struct registry *registry, struct file *file)
{
	struct dag *dag = registry->handler->recall == NULL
				  ? NULL
				  : registry->handler->recall(registry->context, file->path);

	if (dag != NULL)
		put_in_force(file, dag);
}

static void read_file_again(struct registry *registry, struct file *file)
{
	autodiagnostics struct diagnostics diagnostics;
	struct dag *dag;

	diagnostics_init(&diagnostics);
	free(take(file->error));
	if (dag_load(file->path, &dag, &diagnostics) == 0) {
		put_in_force(file, dag);
		log_info("dag.loaded", TEXT("dag", dag->name), TEXT("path", file->path));
	} else {
		file->error = diagnostics_text(&diagnostics);
		if (file->seen.good == NULL)
			recall(registry, file);
		log_error("dag.refused", TEXT("path", file->path), TEXT("err", file->error),
			  TEXT("in_force", file->seen.good == NULL ? "nothing" : "its last good version"));
	}
	file->read = true;
	file->seen.changed = true;
}

/* --- being told ----------------------------------------------------------------------------------------- */

static void on_event(uv_fs_event_t *watch, const char *name, int events, int status)
{
	struct registry *registry = watch->data;

	(void)name;
	(void)events;
	(void)status;
	if (!registry->stopping)
		uv_timer_start(&registry->settle, registry->on_look_due, REGISTRY_SETTLE_MS, 0);
}

/* A place that is not there yet is watched once it is. */
static void watch_place(struct place *place)
{
	if (!place->watched)
		place->watched = uv_fs_event_start(&place->watch, on_event, place->path, 0) == 0;
}

/* --- one look at the places ----------------------------------------------------------------------------- */

static bool is_dag_file(const char *name)
{
	const char *dot = strrchr(name, '.');

	return name[0] != '.' && dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static struct identity identity_of(const struct stat *st)
{
	return (struct identity){
		.device = st->st_dev,
		.inode = st->st_ino,
		.bytes = st->st_size,
		.modified = st->st_mtim,
	};
}

static bool identities_equal(const struct identity *a, const struct identity *b)
{
	return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
	       a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

static struct file *find_file(const struct registry *registry, const char *path)
{
	for (size_t i = 0; i < registry->files_count; i++)
		if (strcmp(registry->files[i].path, path) == 0)
			return &registry->files[i];
	return NULL;
}

static void see_file(struct registry *registry, const char *path, const struct stat *st, bool again)
{
	struct identity identity = identity_of(st);
	struct file *file = find_file(registry, path);

	if (file == NULL) {
		if (registry->files_count >= REGISTRY_FILES_MAX)
			return;
		mem_grow(&registry->files, &registry->files_room, registry->files_count,
			 sizeof *registry->files);
		file = &registry->files[registry->files_count++];
		*file = (struct file){ .path = mem_strdup(path) };
	}
	file->present = true;
	if (file->read && !again && identities_equal(&file->identity, &identity))
		return;
	file->identity = identity;
	read_file_again(registry, file);
}

static void see_folder(struct registry *registry, const char *path, bool again)
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	if (folder == NULL)
		return; /* it may come */
	while ((entry = readdir(folder)) != NULL) {
		autofree char *file = NULL;
		struct stat st;

		if (!is_dag_file(entry->d_name))
			continue;
		file = mem_printf("%s/%s", path, entry->d_name);
		if (stat(file, &st) == 0 && S_ISREG(st.st_mode))
			see_file(registry, file, &st, again);
	}
	closedir(folder);
}

static void forget_file(struct file *file)
{
	log_info("dag.removed", TEXT("path", file->path),
		 TEXT("dag", file->seen.good == NULL ? "" : file->seen.good->dag->name));
	registry_release(file->seen.good);
	free(file->path);
	free(file->error);
	free(file->twin);
}

static bool forget_absent(struct registry *registry)
{
	size_t kept = 0;

	for (size_t i = 0; i < registry->files_count; i++) {
		if (registry->files[i].present)
			registry->files[kept++] = registry->files[i];
		else
			forget_file(&registry->files[i]);
	}
	if (kept == registry->files_count)
		return false;
	registry->files_count = kept;
	return true;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

/* The file before number `i` whose DAG has the name that its own has; NULL: none. */
static const struct registry_file *find_twin(const struct registry *registry, size_t i)
{
	const struct registry_dag *good = registry->files[i].seen.good;

	for (size_t k = 0; k < i && good != NULL; k++) {
		const struct registry_dag *other = registry->shown[k].good;

		if (other != NULL && strcmp(other->dag->name, good->dag->name) == 0)
			return &registry->shown[k];
	}
	return NULL;
}

static void show_file(struct registry *registry, size_t i)
{
	struct file *file = &registry->files[i];
	const struct registry_file *twin = find_twin(registry, i);

	if ((twin != NULL) != (file->twin != NULL)) {
		file->seen.changed = true;
		free(take(file->twin));
	}
	if (twin != NULL && file->twin == NULL) {
		file->twin = mem_printf("%s: error: the DAG '%s' is defined by %s already\n"
					"    = give one of them another name, or remove it\n",
					file->path, twin->good->dag->name, twin->path);
		log_error("dag.refused", TEXT("path", file->path), TEXT("err", file->twin));
	}
	registry->shown[i] = file->seen;
	registry->shown[i].path = file->path;
	registry->shown[i].error = file->error != NULL ? file->error : file->twin;
	if (twin != NULL)
		registry->shown[i].good = NULL;
}

static void look(struct registry *registry, bool again)
{
	bool changed;

	for (size_t i = 0; i < registry->files_count; i++)
		registry->files[i].present = false;
	for (size_t i = 0; i < registry->places_count; i++) {
		struct stat st;

		watch_place(registry->places[i]);
		if (stat(registry->places[i]->path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			see_folder(registry, registry->places[i]->path, again);
		else if (S_ISREG(st.st_mode))
			see_file(registry, registry->places[i]->path, &st, again);
	}
	changed = forget_absent(registry);
	if (registry->files_count > 0)
		qsort(registry->files, registry->files_count, sizeof *registry->files, by_path);
	registry->shown = mem_realloc(registry->shown, (registry->files_count + 1) * sizeof *registry->shown);
	for (size_t i = 0; i < registry->files_count; i++) {
		show_file(registry, i);
		changed |= registry->files[i].seen.changed;
	}
	if (changed)
		registry->handler->on_changed(registry->context);
	for (size_t i = 0; i < registry->files_count; i++)
		registry->files[i].seen.changed = false;
}

static void on_look_due(uv_timer_t *timer)
{
	look(timer->data, false);
}

static void on_place_closed(uv_handle_t *handle)
{
	struct place *place = (struct place *)(void *)((char *)handle - offsetof(struct place, watch));

	free(place->path);
	free(place);
}

static void drop_places(struct registry *registry)
{
	for (size_t i = 0; i < registry->places_count; i++)
		uv_close((uv_handle_t *)&registry->places[i]->watch, on_place_closed);
	registry->places_count = 0;
	free(take(registry->places));
}

/* --- life ----------------------------------------------------------------------------------------------- */

struct registry *registry_new(uv_loop_t *loop, const struct registry_handler *handler, void *context)
{
	struct registry *registry = mem_zalloc(sizeof *registry);

	registry->loop = loop;
	registry->handler = handler;
	registry->context = context;
	uv_timer_init(loop, &registry->look);
	uv_timer_init(loop, &registry->settle);
	registry->look.data = registry->settle.data = registry;
	registry->on_look_due = on_look_due;
	return registry;
}

void registry_start(struct registry *registry, const char *const *places, size_t count)
{
	drop_places(registry);
	registry->places = mem_array(count + 1, sizeof *registry->places);
	registry->places_count = count;
	for (size_t i = 0; i < count; i++) {
		struct place *place = mem_zalloc(sizeof *place);

		place->path = mem_strdup(places[i]);
		uv_fs_event_init(registry->loop, &place->watch);
		place->watch.data = registry;
		registry->places[i] = place;
	}
	uv_timer_start(&registry->look, on_look_due, REGISTRY_LOOK_MS, REGISTRY_LOOK_MS);
	look(registry, true);
}

void registry_reload(struct registry *registry)
{
	look(registry, true);
}

const struct registry_file *registry_files(const struct registry *registry, size_t *count_out)
{
	*count_out = registry->files_count;
	return registry->shown;
}

struct registry_dag *registry_find(const struct registry *registry, const char *name)
{
	for (size_t i = 0; i < registry->files_count; i++) {
		struct registry_dag *good = registry->shown[i].good;

		if (good != NULL && strcmp(good->dag->name, name) == 0)
			return good;
	}
	return NULL;
}

void registry_stop(struct registry *registry)
{
	registry->stopping = true;
	uv_close((uv_handle_t *)&registry->look, NULL);
	uv_close((uv_handle_t *)&registry->settle, NULL);
	drop_places(registry);
}

void registry_free(struct registry *registry)
{
	if (registry == NULL)
		return;
	for (size_t i = 0; i < registry->files_count; i++) {
		registry_release(registry->files[i].seen.good);
		free(registry->files[i].path);
		free(registry->files[i].error);
		free(registry->files[i].twin);
	}
	free(registry->files);
	free(registry->shown);
	free(registry);
}
