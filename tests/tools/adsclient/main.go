// adsclient connects to an xDS server as an Envoy does: one aggregated stream (delta or state of the
// world), clusters and listeners by wildcard, endpoints, routes and secrets by the names they mention. It
// acknowledges what it gets, or refuses what it was told to, and prints what happens as lines of JSON
// with monotonic nanoseconds (CLOCK_MONOTONIC, comparable between the processes of a machine).
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

type options struct {
	addr, nodeID, cluster, role, agent, version string
	sotw, names, anonymous, noReconnect         bool
	nack, nackOnce                              list
	print                                       string
	clients                                     int
	waitQuiet, timeout                          time.Duration
	cert, key, ca                               string
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }
func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

func flags() *options {
	o := &options{}
	delta := false
	flag.StringVar(&o.addr, "addr", "127.0.0.1:9977", "address: `HOST:PORT` or unix:/path")
	flag.StringVar(&o.nodeID, "node-id", "adsclient", "node id")
	flag.StringVar(&o.cluster, "node-cluster", "adsclient", "node cluster")
	flag.StringVar(&o.role, "role", "gloo-system~gateway-proxy", "node metadata `role`; empty = none")
	flag.StringVar(&o.agent, "agent", "envoy", "user agent name")
	flag.StringVar(&o.version, "agent-version", "1.40.0", "user agent version, `X.Y.Z`")
	flag.BoolVar(&delta, "delta", false, "the delta protocol (default)")
	flag.BoolVar(&o.sotw, "sotw", false, "the state-of-the-world protocol")
	flag.BoolVar(&o.names, "names", true, "print names of resources, not only their count")
	flag.Var(&o.nack, "nack",
		"refuse resource `NAME` always (repeatable); TYPE/NAME (such as cds/a) for one type")
	flag.Var(&o.nackOnce, "nack-once", "refuse it the first time only")
	flag.BoolVar(&o.anonymous, "nack-anonymous", false, "do not name the culprit when refusing")
	flag.StringVar(&o.print, "print", "json", "`json` lines, or none")
	flag.IntVar(&o.clients, "clients", 1, "how many `N` clients, each with a connection of its own")
	flag.DurationVar(&o.waitQuiet, "wait-quiet", 0,
		"end with 0 when all that was asked for was answered, and nothing came for so long")
	flag.DurationVar(&o.timeout, "timeout", 0, "end with 2 after so long (0 = never)")
	flag.BoolVar(&o.noReconnect, "no-reconnect", false, "end with 1 when the stream ends")
	flag.StringVar(&o.cert, "tls-cert", "", "client certificate `FILE` (PEM)")
	flag.StringVar(&o.key, "tls-key", "", "its key `FILE`")
	flag.StringVar(&o.ca, "tls-ca", "", "CA `FILE` of the server; switches TLS on")
	flag.Parse()
	if flag.NArg() > 0 || (delta && o.sotw) || (o.print != "json" && o.print != "none") || o.clients < 1 {
		flag.Usage()
		os.Exit(2)
	}
	return o
}

func (o *options) credentials() (credentials.TransportCredentials, error) {
	if o.ca == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate", o.ca)
	}
	config := &tls.Config{RootCAs: pool}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

// errQuiet ends a client that has seen all it waited for.
var errQuiet = errors.New("quiet")

// run connects and, when the stream ends, connects again with what is held, as Envoy does.
func run(ctx context.Context, o *options, creds credentials.TransportCredentials, id int) error {
	c := newClient(o, id)
	defer c.summary()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		before := c.responses
		conn, err := grpc.NewClient(o.addr, append(connection(&c.data), grpc.WithTransportCredentials(creds),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(1<<30)))...)
		if err != nil {
			return err
		}
		err = c.stream(ctx, conn)
		conn.Close()
		if errors.Is(err, errQuiet) || ctx.Err() != nil || o.noReconnect {
			return err
		}
		if c.responses != before {
			wait = 50 * time.Millisecond
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func main() {
	o := flags()
	creds, err := o.credentials()
	if err != nil {
		fmt.Fprintln(os.Stderr, "adsclient:", err)
		os.Exit(2)
	}
	warmUp()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	var group sync.WaitGroup
	results := make([]error, o.clients)
	for i := range results {
		group.Add(1)
		go func() {
			defer group.Done()
			results[i] = run(ctx, o, creds, i)
		}()
	}
	group.Wait()
	flush()
	code := 0
	for _, err := range results {
		if err == nil || errors.Is(err, errQuiet) || errors.Is(err, context.Canceled) {
			continue
		}
		code = max(code, 1)
		if errors.Is(err, context.DeadlineExceeded) {
			code = 2
		}
	}
	os.Exit(code)
}
