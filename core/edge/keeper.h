// What the keeper and the supervisor say to each other. Room-internal.
//
// Over the socket <run dir>/keeper.sock, lines of at most KEEPER_LINE_MAX bytes:
//   to the keeper:   "attach" with two descriptors: where Envoy's stdout and its log go
//                    "term", "kill": the signal to Envoy
//   from the keeper: "hello 1 <pid> <started, Unix ms> <hash> <version> <lost stdout> <lost log>"
//                    "exit <status> <signal> <lost stdout> <lost log>", then it ends
// A keeper may be older or newer than the Solder that adopts its Envoy: the first number is the
// version of this protocol, and words behind those named here are ignored.
#pragma once

#define KEEPER_SOCKET "keeper.sock"
#define KEEPER_PROTOCOL "1"

enum {
    KEEPER_LINE_MAX = 256,
    KEEPER_WORD_MAX = 64, // of hash and version
};
