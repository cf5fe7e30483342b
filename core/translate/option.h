// Private to the room: what several options are made and checked with.
#pragma once

#include "translate/feature.h"

// ---- Texts with Envoy's %...% operators (formatter.c) ----

enum tr_format_place { TR_FORMAT_HEADER, TR_FORMAT_LOG };
// Adds an error at PATH (below R's prefix) unless Envoy takes TEXT as a format; false then.
bool tr_check_format(struct sld_report *r, struct sld_str path, struct sld_str text,
                     enum tr_format_place place);
// TEXT such that Envoy takes it literally.
struct sld_str tr_format_literal(struct sld_arena *a, struct sld_str text);

// ---- Extensions ----

// The configurations of OWN and FROM, either of which may be NULL, in A: of both the one of OWN counts. So who sets one plugin's does
// not switch off another that is to guard what is below.
Gloo__Extensions *tr_merge_extensions(struct sld_arena *a, Gloo__Extensions *own, Gloo__Extensions *from);

// ---- Regular expressions and rewrites ----

// Adds what is to be said of a pattern that the schema found valid, such as its size; nothing about
// one that it found broken. False when Envoy would not take it.
bool tr_note_regex(struct sld_report *r, struct sld_str path, struct sld_str pattern);

// What Gloo does not allow in a path, in words that continue "the path "; NULL when nothing is
// wrong (gloo-compat 3.10).
const char *tr_path_problem(struct sld_str path);
// Checks pattern and substitution at FIELD.
void tr_check_rewrite(struct sld_report *r, const char *field,
                      const Gloo__RegexMatchAndSubstitute *s);
// The same as Envoy takes it.
struct Env__TypeMatcher__RegexMatchAndSubstitute *
tr_rewrite(struct sld_arena *a, const Gloo__RegexMatchAndSubstitute *s);

// ---- Headers (headers.c) ----

// Checks a header to add to requests (IN[i] at FIELD[i]), one to add to answers, and names to
// remove: pseudo headers and Host cannot be edited, values must be formats.
void tr_check_request_headers(struct sld_report *r, const char *field,
                              Gloo__HeaderOrSecretOption *const *in, size_t n);
void tr_check_response_headers(struct sld_report *r, const char *field,
                               Gloo__HeaderValueOption *const *in, size_t n);
void tr_check_header_names(struct sld_report *r, const char *field, char *const *names, size_t n);

// A list of headers in the making; *OUT and *N as in Envoy's messages.
struct tr_headers {
    struct tr *tr;
    struct sld_report *report; // for secrets that are missing
    struct sld_str ns;         // owner of references without a namespace
    Env__Core__HeaderValueOption ***out;
    size_t *n;
};
// Appends headers; those of secrets are all of its entries, by name, taken literally. A missing
// secret, or one that holds no headers, is an error at FIELD[i] and adds nothing.
void tr_add_request_headers(const struct tr_headers *h, const char *field,
                            Gloo__HeaderOrSecretOption *const *in, size_t n);
void tr_add_response_headers(const struct tr_headers *h, Gloo__HeaderValueOption *const *in,
                             size_t n);
// Appends one header that replaces what is there.
void tr_add_header(const struct tr_headers *h, const char *key, struct sld_str value);

// ---- Parts of Envoy's messages ----

// PERCENT (0 to 100) in millionths.
struct Env__Type__FractionalPercent *tr_percent(struct sld_arena *a, float percent);
// The path "FIELD[i]" and "FIELD[i].REST".
struct sld_str tr_item_path(struct sld_arena *a, const char *field, size_t i, const char *rest);
// The name of an upgrade ("websocket", "CONNECT"); absent when none is set.
struct sld_str tr_upgrade_type(const Gloo__ProtocolUpgradeConfig *u);
// Whether it is allowed; NULL: yes.
Google__Protobuf__BoolValue *tr_upgrade_enabled(const Gloo__ProtocolUpgradeConfig *u);
// Checks that no upgrade stands twice in the list at FIELD.
void tr_check_upgrades(struct sld_report *r, const char *field,
                       Gloo__ProtocolUpgradeConfig *const *u, size_t n);

// ---- Options without effect ----

// Adds a note when the route that carries the options answers by itself, where FIELD has no effect.
void tr_note_unused(const struct sld_feature_check *c, const char *field);
