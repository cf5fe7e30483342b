// An intrusive doubly linked list.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct sld_list {
    struct sld_list *prev, *next;
};

// Makes L an empty list, or an element in no list.
static inline void sld_list_init(struct sld_list *l)
{
    l->prev = l->next = l;
}

// Whether L has no element (or the element L is in no list).
static inline bool sld_list_empty(const struct sld_list *l)
{
    return l->next == l;
}

// Adds N behind the last element of L.
static inline void sld_list_push(struct sld_list *l, struct sld_list *n)
{
    n->prev = l->prev;
    n->next = l;
    l->prev->next = n;
    l->prev = n;
}

// Takes N out of its list; N is then an empty list of its own.
static inline void sld_list_remove(struct sld_list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    sld_list_init(n);
}

#define SLD_LIST_EACH(it, l)                                                                       \
    for (struct sld_list *it = (l)->next, *it##_next = it->next; it != (l);                        \
         it = it##_next, it##_next = it->next)
