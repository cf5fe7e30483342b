// What the tests of listeners and options share: a world with all options, and resources as JSON.
#pragma once

#include "route_world.h"

#include "app/builtin.h"
#include "translate/feature.h"

static inline struct world *option_world(void)
{
    return world_create(sld_builtin_features, sld_builtin_feature_count);
}

// ---- Documents ----

#define UPSTREAM(name)                                                                             \
    "---\napiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: " name                     \
    ", namespace: gloo-system}\nspec: {static: {hosts: [{addr: 10.0.0.1, port: 80}]}}\n"
#define VS(name, spec)                                                                             \
    "---\napiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: " name            \
    ", namespace: gloo-system}\nspec: " spec "\n"
#define GATEWAY(name, spec)                                                                        \
    "---\napiVersion: gateway.solo.io/v1\nkind: Gateway\nmetadata: {name: " name                   \
    ", namespace: gloo-system}\nspec: " spec "\n"
#define VS_KEY(name) "virtualservices/gloo-system/" name
#define GW_KEY(name) "gateways/gloo-system/" name
// A route to upstream a with options.
#define TO_A "routeAction: {single: {upstream: {name: a}}}"

// ---- Resources ----

// The message as JSON, also where it holds secrets.
static inline const char *json(struct world *w, const struct sld_out *o)
{
    assert_non_null(o);
    const ProtobufCMessage *m = message_of(w, o);
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    sld_doc_print(&b, m, SLD_TEXT_JSON_COMPACT, false);
    const char *text = sld_arena_cstr(&w->a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return text;
}

#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        const char *text_ = (text);                                                                \
        if (!strstr(text_, (part))) {                                                              \
            print_error("%s\n  is not in\n%s\n", (part), text_);                                   \
            fail();                                                                                \
        }                                                                                          \
    } while (0)
#define assert_has_not(text, part)                                                                 \
    do {                                                                                           \
        const char *text_ = (text);                                                                \
        if (strstr(text_, (part))) {                                                               \
            print_error("%s\n  is in\n%s\n", (part), text_);                                       \
            fail();                                                                                \
        }                                                                                          \
    } while (0)
