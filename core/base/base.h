// base: what every other room stands on: slices, buffers with a ceiling, arenas, refcounted
// immutable objects, hash maps, interned ids, errors, findings, logging and clocks.
//
// This header gathers the room's parts; each is documented in its own header.
#pragma once

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/finding.h"
#include "base/hash.h"
#include "base/intern.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/obj.h"
#include "base/pack.h"
#include "base/random.h"
#include "base/str.h"
