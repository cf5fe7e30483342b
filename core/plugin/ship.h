// Private to the room: edge code in Envoy's configuration: one filter for each plugin that has such code, off until a route,
// virtual host or destination configures it.
#pragma once

#include "plugin/load.h"
#include "plugin/shape.h"
#include "translate/feature.h"

// Adds the filters of all plugins with edge code to L, which is HTTP.
void pl_ship_filters(struct tr_listener *l);
// Whether the plugin in SLOT has edge code.
bool pl_ships(const struct sld_plugin_slot *slot);
// What turns the filter of the plugin in SLOT, which has edge code, on with configuration CONF. SLD_INVALID, SLD_LIMIT.
SLD_NODISCARD enum sld_rc pl_ship_conf(struct sld_arena *a, const struct sld_plugin_slot *slot, const Google__Protobuf__Value *conf,
                                       Google__Protobuf__Any **out, struct sld_err *err);
// Envoy's name of its filter.
char *pl_ship_name(struct sld_arena *a, struct sld_str plugin);
