// Private to the room: what handles on requests and on responses share. (request.c)
#pragma once

#include "plugin/load.h"
#include "plugin/transform.h"

#define PL_HEADERS "solder.headers"
#define PL_TRANSFORM "solder.transform"
#define PL_RESPONSE "solder.response"

// The exchange behind the handle at 1, which is of TYPE; raises for one of a call that is over.
struct sld_exchange *pl_lent(lua_State *L, const char *type);
// The same for a request or a response.
struct sld_exchange *pl_exchange(lua_State *L);
// Pushes a handle of TYPE on X for this call, with room for so many parts.
void pl_lend(lua_State *L, struct sld_exchange *x, const char *type, int values);
// Pushes part AT of the handle at 1: a handle of TYPE on X, made once.
void pl_push_part(lua_State *L, struct sld_exchange *x, const char *type, int at);
void pl_push_or_nil(lua_State *L, struct sld_str s);
// Makes a type of handles that cannot be written; INDEX and PAIRS (NULL: none) are its metamethods.
void pl_make_type(lua_State *L, const char *name, lua_CFunction index, lua_CFunction pairs);
// Makes a type of handles on requests, whose methods are in the table on top, which is popped; and those of its parts.
void pl_make_request_type(lua_State *L, const char *name);
// What a request may be told by authorize.
extern const luaL_Reg pl_request_methods[];

// To be called in front of each copy, of N bytes, that stays with X: raises when scripts have made too much of it.
void pl_bounded(lua_State *L, const struct sld_exchange *x, size_t n);
struct sld_str pl_copied(lua_State *L, const struct sld_exchange *x, struct sld_str s);
// The header's name, in lower case, and value at INDEX; raise for what cannot be one.
struct sld_str pl_header_name(lua_State *L, struct sld_exchange *x, int index);
struct sld_str pl_header_value(lua_State *L, struct sld_exchange *x, int index);
// The call of transform_request or transform_response that is at work in L, or NULL.
struct sld_transform *pl_flow(lua_State *L);
// Raises when the headers of that are on their way.
void pl_unsent(lua_State *L);
// Remembers an edit; raises for too many, and for one that comes too late.
void pl_edit(lua_State *L, struct sld_exchange *x, enum sld_edit_kind kind, struct sld_str name, struct sld_str value);
// Of the pairs there is one called NAME with VALUE then; absent: none.
void pl_put(struct sld_arena *a, struct sld_pair **p, size_t *n, struct sld_str name, struct sld_str value);
// The exchange at 1 is answered as the table at 2 says, with a status of LEAST at least; BYTES: the body may be any. Pushes false.
int pl_answer(lua_State *L, const char *what, lua_Integer least, bool bytes);
// *BEFORE is what X is; what is edited from here on is a copy.
void pl_remember(struct sld_exchange *x, struct sld_exchange *before);
