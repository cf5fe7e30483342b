// systemd's notification protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET. Nothing without
// it.
#pragma once

// Ready, with a status line.
void sld_notify_ready(const char *status);
void sld_notify_stopping(void);
