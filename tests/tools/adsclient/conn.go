// The connection: tried again soon, and watched for the first byte of a message, whose rest may take a while.
package main

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// frameHead is the size of an HTTP/2 frame's header: length (3 bytes), type, flags, stream.
const frameHead = 9

// watched notes when a DATA frame begins to come in. Reads of a connection follow each other.
type watched struct {
	net.Conn
	head  []byte // of the next frame, as far as it was read
	rest  int    // of the present frame
	first *atomic.Int64
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	at := int64(0)
	for b := p[:n]; len(b) > 0; {
		if w.rest > 0 {
			skip := min(w.rest, len(b))
			w.rest -= skip
			b = b[skip:]
			continue
		}
		take := min(frameHead-len(w.head), len(b))
		w.head = append(w.head, b[:take]...)
		b = b[take:]
		if len(w.head) < frameHead {
			continue
		}
		w.rest = int(w.head[0])<<16 | int(w.head[1])<<8 | int(w.head[2])
		if w.head[3] == 0 && w.rest > 0 {
			if at == 0 {
				at = monotonic()
			}
			w.first.CompareAndSwap(0, at)
		}
		w.head = w.head[:0]
	}
	return n, err
}

// connection gives the options of one that is tried every few milliseconds, and is watched unless it is
// encrypted.
func connection(first *atomic.Int64) []grpc.DialOption {
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		network := "tcp"
		if path, ok := strings.CutPrefix(addr, "unix:"); ok {
			network, addr = "unix", strings.TrimPrefix(path, "//")
		}
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &watched{Conn: c, first: first}, nil
	}
	retry := grpc.ConnectParams{MinConnectTimeout: time.Second,
		Backoff: backoff.Config{BaseDelay: 2 * time.Millisecond, Multiplier: 1, MaxDelay: 2 * time.Millisecond}}
	return []grpc.DialOption{grpc.WithContextDialer(dial), grpc.WithConnectParams(retry)}
}
