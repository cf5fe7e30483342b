// Private to the server: its state, shared by its files. Everything runs on the io thread unless a
// comment says otherwise.
#pragma once

#include "admin/admin.h"
#include "app/builtin.h"
#include "app/model_thread.h"
#include "app/server.h"
#include "edge/edge.h"
#include "xds/serve.h"

#include <sys/types.h>
#include <time.h>

#include "settings.pb-c.h"

enum {
    MAX_SOURCES = 64,
    // How long restored state waits for its sources before it is served without them.
    RESTORE_WAIT_MS = 3000,
    // An Envoy that has not taken everything by then is reported, and no reason to be unready any
    // more.
    CONVERGE_LIMIT_MS = 60000,
    STATE_LOOK_MS = 500,
    CERTIFICATES_EACH = 60, // looks

};

struct source {
    struct server *s;
    const char *address;
    const struct sld_source_ops *ops;
    struct sld_source *source;
    bool synced, up, secrets;
    int64_t last_sync_ms;
    char problem[256];
};

struct server {
    const struct sld_server_options *opt;
    struct sld_object *settings_file;
    struct sld_arena arena;
    struct sld_loop *io;
    struct sld_state_dir *state;
    char state_note[SLD_ERR_MAX];
    struct sld_xds *xds;
    struct sld_xds_server *xds_server;
    struct sld_model_thread *model;
    struct sld_admin *admin;
    struct sld_admin_memo *memo; // [model] between start and stop
    struct sld_edge *edge;
    struct source sources[MAX_SOURCES];
    size_t source_count;
    struct sld_signal *term, *intr, *hup;
    struct sld_timer *restore_wait, *state_look;
    char state_problem[256]; // as told last; "" = none
    struct sld_str write_ns; // at the start; roles begin with it
    struct sld_str role;     // of the supervised Envoy; xds knows which view it gets now
    struct sld_str run_dir;
    char now_ns[256];              // the write namespace in force
    struct timespec settings_time; // of the settings file as read last
    ino_t settings_inode;
    unsigned looks; // of the periodic look
    _Atomic uint64_t index;
    uint64_t served_ns; // mono: since when Envoys are served; 0 = not yet
    bool restored;      // what is served was restored
    bool envoy_took;    // the supervised Envoy took a whole configuration once
    bool stopping, finished;
    int exit_code;
};

// The keys of Settings that are ours, as --settings has them; NULL: none. (server.c)
const Gloo__SolderSettings *server_own_settings(const struct server *s);
const char *server_state_dir(const struct server *s);

// Listens for Envoys and for the admin interface. (server_listen.c)
SLD_NODISCARD enum sld_rc server_listen_xds(struct server *s, struct sld_err *err);
SLD_NODISCARD enum sld_rc server_listen_admin(struct server *s, struct sld_err *err);
// Reads the certificate files for Envoys again; what cannot be used leaves the former ones.
void server_reload_xds_tls(struct server *s);

// What admin asks of the server. (server_admin.c)
struct sld_admin_host server_admin_host(struct server *s);
