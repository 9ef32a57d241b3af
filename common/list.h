/*
 * list.h - intrusive doubly linked list with a sentinel
 *
 * An element embeds a struct list; an empty list, and an element in no list, points to itself. Removing an
 * element twice is therefore harmless.
 */
#ifndef COMMON_LIST_H
#define COMMON_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *list)
{
	list->next = list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
	return list->next == list;
}

static inline void list_append(struct list *list, struct list *element)
{
	element->prev = list->prev;
	element->next = list;
	list->prev->next = element;
	list->prev = element;
}

static inline void list_remove(struct list *element)
{
	element->prev->next = element->next;
	element->next->prev = element->prev;
	list_init(element);
}

/* All of `from` goes to the end of `to`, in order; `from` is empty then. */
static inline void list_take_all(struct list *from, struct list *to)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Walks a list; the element at hand may be removed meanwhile. */
#define list_each(at, head)                                                                          \
	for (struct list *at = (head)->next, *at##_next = at->next; at != (head);                     \
	     at = at##_next, at##_next = at->next)

#endif
