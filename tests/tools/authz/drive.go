package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

type extensions map[string]string

func (e extensions) String() string { return fmt.Sprint(map[string]string(e)) }
func (e extensions) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	e[name] = value
	if !ok {
		return fmt.Errorf("not NAME=VALUE: %s", s)
	}
	return nil
}

// question gives a gRPC message as Envoy sends it for a request of a browser's kind.
func question(ext extensions) ([]byte, error) {
	var list []*corev3.HeaderValue
	for _, h := range [][2]string{{":authority", "bench.test"}, {":path", "/orders/1?page=2"}, {":method", "GET"}, {":scheme", "http"},
		{"user-agent", "bench"}, {"x-tenant", "tenant-7"}, {"x-forwarded-proto", "http"},
		{"x-request-id", "0c5f5f9d-5b3b-4d2c-9c3e-3a3d0d3f4e11"}} {
		list = append(list, &corev3.HeaderValue{Key: h[0], RawValue: []byte(h[1])})
	}
	at := func(port uint32) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}}
	}
	q := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Source: at(40000), Destination: at(8080), ContextExtensions: ext,
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Id: "1", Method: "GET", Path: "/orders/1?page=2",
			Host: "bench.test", Scheme: "http", Protocol: "HTTP/1.1", HeaderMap: &corev3.HeaderMap{Headers: list}}}}}
	b, err := proto.Marshal(q)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...), err
}

type driver struct {
	message []byte
	streams int
	left    atomic.Int64 // questions that no connection took
	wrong   atomic.Int64
}

// run drives one connection until no question is left. So few are on their way that no window of the server's is full.
func (d *driver) run(address string) ([]time.Duration, error) {
	network, at := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, at = "unix", path
	}
	c, err := net.Dial(network, at)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	out := bufio.NewWriterSize(c, 1<<20)
	out.WriteString(http2.ClientPreface)
	in := bufio.NewReaderSize(c, 1<<20)
	fr := http2.NewFramer(out, in)
	fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
	fr.WriteWindowUpdate(0, 1<<30)
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	var times []time.Duration
	began := map[uint32]time.Time{}
	next := uint32(1)
	ask := func() {
		if d.left.Add(-1) < 0 {
			return
		}
		head.Reset()
		for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/envoy.service.auth.v3.Authorization/Check"},
			{":authority", "solder-worker"}, {"te", "trailers"}, {"grpc-timeout", "5000m"}, {"content-type", "application/grpc"},
			{"x-envoy-internal", "true"}, {"x-forwarded-for", "10.0.0.1"}} {
			enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: next, BlockFragment: head.Bytes(), EndHeaders: true})
		fr.WriteData(next, true, d.message)
		began[next] = time.Now()
		next += 2
	}
	dec := hpack.NewDecoder(4096, nil)
	for range d.streams {
		ask()
	}
	for len(began) > 0 {
		if err := out.Flush(); err != nil {
			return nil, err
		}
		for more := true; more && len(began) > 0; more = in.Buffered() > 0 {
			f, err := fr.ReadFrame()
			if err != nil {
				return nil, err
			}
			switch f := f.(type) {
			case *http2.SettingsFrame:
				if !f.IsAck() {
					fr.WriteSettingsAck()
				}
			case *http2.PingFrame:
				if !f.IsAck() {
					fr.WritePing(true, f.Data)
				}
			case *http2.GoAwayFrame:
				return nil, fmt.Errorf("the server goes away: %v", f.ErrCode)
			case *http2.DataFrame:
				if b := f.Data(); len(b) > 5 {
					var a authv3.CheckResponse
					if proto.Unmarshal(b[5:], &a) != nil || a.Status.GetCode() != 0 {
						d.wrong.Add(1)
					}
				}
			case *http2.HeadersFrame:
				fields, err := dec.DecodeFull(f.HeaderBlockFragment())
				if err != nil {
					return nil, err
				}
				for _, h := range fields {
					if h.Name == "grpc-status" && h.Value != "0" {
						d.wrong.Add(1)
					}
				}
				if f.StreamEnded() {
					times = append(times, time.Since(began[f.StreamID]))
					delete(began, f.StreamID)
					ask()
				}
			case *http2.RSTStreamFrame:
				if _, ok := began[f.StreamID]; ok {
					return nil, fmt.Errorf("a call was reset: %v", f.ErrCode)
				}
			}
		}
	}
	return times, nil
}

func drive(args []string) error {
	ext := extensions{}
	f := flag.NewFlagSet("drive", flag.ExitOnError)
	address := f.String("address", "", "HOST:PORT or unix:/PATH")
	connections := f.Int("connections", 2, "how many")
	streams := f.Int("streams", 32, "questions at once on each of them")
	requests := f.Int("requests", 100000, "of all connections together")
	f.Var(ext, "extension", "context extension of the questions")
	f.Parse(args)
	message, err := question(ext)
	if err != nil {
		return err
	}
	d := &driver{message: message, streams: *streams}
	d.left.Store(int64(*requests))
	var wait sync.WaitGroup
	times, errs := make([][]time.Duration, *connections), make([]error, *connections)
	begin := time.Now()
	for i := range *connections {
		wait.Add(1)
		go func() {
			defer wait.Done()
			times[i], errs[i] = d.run(*address)
		}()
	}
	wait.Wait()
	seconds := time.Since(begin).Seconds()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	all := slices.Concat(times...)
	slices.Sort(all)
	at := func(q float64) int64 { return all[min(len(all)-1, int(q*float64(len(all))))].Microseconds() }
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"requests": len(all), "wrong": d.wrong.Load(), "seconds": seconds,
		"p50_us": at(0.5), "p99_us": at(0.99)})
}
