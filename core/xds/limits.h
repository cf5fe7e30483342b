// Ceilings on what a client can make the room keep or do.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Longest resource name, type URL or nonce a request may hold, bytes.
#define SLD_XDS_NAME_MAX 4096
// Bytes kept of each text of a node (id, role, build).
#define SLD_XDS_NODE_TEXT_MAX 256
// Bytes kept of a NACK's words.
#define SLD_XDS_WORDS_MAX 8192
// Bytes of requests kept per stream before everything is ready to be served.
#define SLD_XDS_EARLY_MAX ((size_t)64 * 1024 * 1024)
// The same, over all streams.
#define SLD_XDS_EARLY_TOTAL_MAX ((size_t)256 * 1024 * 1024)
// Bytes of answers about unknown types waiting to be sent to one stream.
#define SLD_XDS_FOREIGN_MAX ((size_t)4 * 1024 * 1024)
// Un-ACKed responses per type; clusters have more because Envoy withholds their ACK while warming.
#define SLD_XDS_FLIGHTS 1
#define SLD_XDS_CLUSTER_FLIGHTS 8
// A refused response of more resources than this is halved, a smaller one is sent again one by one.
#define SLD_XDS_HALVE 32
// A peer that takes nothing off the wire for so long is cut off.
#define SLD_XDS_STALL_NS ((uint64_t)30 * 1000000000u)
// After a reconnect, how long removals wait for the client to name the tables it holds.
#define SLD_XDS_RESUME_NS ((uint64_t)5 * 1000000000u)
// Envoy builds told apart; further ones share one entry that proves nothing.
#define SLD_XDS_BUILDS_MAX 256
// Refused contents remembered.
#define SLD_XDS_REFUSED_MAX 65536
// Bytes kept of what Envoy said to each.
#define SLD_XDS_REFUSED_WORDS_MAX 1024
// Last good forms kept per resource, one per build.
#define SLD_XDS_GOODS_MAX 4
