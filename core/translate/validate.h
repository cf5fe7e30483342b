// Private to the room: the checks of documents alone, by kind. Paths are from the object's root;
// findings of severity error keep the document from being accepted. Pure in the message and the
// table of features.
#pragma once

#include "translate/feature.h"

void tr_validate_gateway(const struct sld_translate *t, const Gloo__Gateway *g,
                         struct sld_report *r); // validate_gateway.c
void tr_validate_virtual_service(const struct sld_translate *t, const Gloo__VirtualService *v,
                                 struct sld_report *r); // validate_route.c
void tr_validate_route_table(const struct sld_translate *t, const Gloo__RouteTable *v,
                             struct sld_report *r);
void tr_validate_route_option(const struct sld_translate *t, const Gloo__RouteOption *v,
                              struct sld_report *r);
void tr_validate_virtual_host_option(const struct sld_translate *t,
                                     const Gloo__VirtualHostOption *v, struct sld_report *r);
void tr_validate_upstream_group(const struct sld_translate *t, const Gloo__UpstreamGroup *v,
                                struct sld_report *r);
void tr_validate_upstream(const struct sld_translate *t, const Gloo__Upstream *u,
                          struct sld_report *r); // validate_upstream.c
void tr_validate_secret(const struct sld_translate *t, const Gloo__Secret *s, struct sld_report *r);
// TLS of a virtual service or a TCP host; R's prefix stands at it.
void tr_validate_ssl(const Gloo__SslConfig *c, struct sld_report *r); // validate_tls.c
void tr_validate_upstream_ssl(const Gloo__UpstreamSslConfig *c, struct sld_report *r);
