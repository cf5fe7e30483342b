// What is checked of a document alone, before it counts. Its errors keep it from being accepted.
#include "translate/validate.h"

void tr_validate(const struct sld_translate *t, enum sld_kind k, const void *msg, struct sld_report *r)
{
    switch (k) {
    case SLD_KIND_GATEWAY:
        tr_validate_gateway(t, msg, r);
        break;
    case SLD_KIND_ROUTE_OPTION:
        tr_validate_route_option(t, msg, r);
        break;
    case SLD_KIND_ROUTE_TABLE:
        tr_validate_route_table(t, msg, r);
        break;
    case SLD_KIND_SECRET:
        tr_validate_secret(t, msg, r);
        break;
    case SLD_KIND_UPSTREAM:
        tr_validate_upstream(t, msg, r);
        break;
    case SLD_KIND_UPSTREAM_GROUP:
        tr_validate_upstream_group(t, msg, r);
        break;
    case SLD_KIND_VIRTUAL_HOST_OPTION:
        tr_validate_virtual_host_option(t, msg, r);
        break;
    case SLD_KIND_VIRTUAL_SERVICE:
        tr_validate_virtual_service(t, msg, r);
        break;
    default:
        break;
    }
}
