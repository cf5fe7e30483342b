// One client: its subscriptions, what it holds, and how it answers.
package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// held is a resource the client has.
type held struct {
	version  string
	children []child
}

// table is the client's side of the conversation about one type.
type table struct {
	started   bool
	held      map[string]held
	asked     map[string]bool // by name; false = no answer yet
	nonce     string          // of the last response
	version   string          // state of the world: of the last response that was accepted
	responses int
	bytes     int
	nacks     int
}

type client struct {
	o         *options
	id        int
	tables    [typeCount]table
	once      map[string]bool // refused already
	responses int
	send      func(proto.Message) error
	nodeSent  bool
	start     int64        // first connection
	first     int64        // first response
	acked     int64        // last answer
	data      atomic.Int64 // when the message that is coming in began to; 0 = none, or encrypted
}

func newClient(o *options, id int) *client {
	c := &client{o: o, id: id, once: map[string]bool{}, start: monotonic()}
	for i := range c.tables {
		c.tables[i].held = map[string]held{}
		c.tables[i].asked = map[string]bool{}
	}
	return c
}

func (c *client) node() *core.Node {
	if c.nodeSent {
		return nil
	}
	c.nodeSent = true
	var v [3]uint64
	for i, part := range strings.SplitN(c.o.version, ".", 3) {
		v[i], _ = strconv.ParseUint(part, 10, 32)
	}
	id := c.o.nodeID
	if c.o.clients > 1 {
		id = fmt.Sprintf("%s-%d", id, c.id)
	}
	n := &core.Node{Id: id, Cluster: c.o.cluster, UserAgentName: c.o.agent,
		UserAgentVersionType: &core.Node_UserAgentBuildVersion{UserAgentBuildVersion: &core.BuildVersion{
			Version: &typev3.SemanticVersion{MajorNumber: uint32(v[0]), MinorNumber: uint32(v[1]),
				Patch: uint32(v[2])}}}}
	if c.o.role != "" {
		n.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{
			"role": structpb.NewStringValue(c.o.role)}}
	}
	return n
}

// stream runs one stream to its end.
func (c *client) stream(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	method := "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
	if c.o.sotw {
		method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
	}
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method,
		grpc.WaitForReady(true))
	if err != nil {
		return c.ended(err)
	}
	c.event("connected")
	c.send = func(m proto.Message) error { return s.SendMsg(m) }
	c.nodeSent = false
	for t := range c.tables {
		c.tables[t].started = false
		c.tables[t].nonce = ""
	}
	if err := c.begin(); err != nil {
		return c.ended(err)
	}
	type arrival struct {
		bytes     []byte
		began, at int64
		err       error
	}
	arrivals := make(chan arrival)
	go func() {
		for {
			var a arrival
			a.err = s.RecvMsg(&a.bytes)
			a.at = monotonic()
			a.began = c.data.Swap(0)
			select {
			case arrivals <- a:
			case <-ctx.Done():
				return
			}
			if a.err != nil {
				return
			}
		}
	}()
	for {
		var quiet <-chan time.Time
		if c.o.waitQuiet > 0 && len(c.missing()) == 0 {
			quiet = time.After(c.o.waitQuiet)
		}
		select {
		case a := <-arrivals:
			if a.err == nil {
				a.err = c.take(a.bytes, a.began, a.at)
			}
			if a.err != nil {
				return c.ended(a.err)
			}
		case <-quiet:
			return errQuiet
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *client) ended(err error) error {
	s, _ := status.FromError(err)
	c.event("disconnected", "code", s.Code().String(), "message", s.Message())
	return err
}

// begin declares what is subscribed on a fresh stream: at first only clusters; listeners follow when
// these have their endpoints.
func (c *client) begin() error {
	for t := range c.tables {
		if t != cds && len(c.tables[t].asked) == 0 && c.tables[t].responses == 0 {
			continue
		}
		if err := c.declare(t); err != nil {
			return err
		}
	}
	return nil
}

// declare sends the first request of a type on this stream.
func (c *client) declare(t int) error {
	tab := &c.tables[t]
	tab.started = true
	names := sorted(tab.asked)
	if c.o.sotw {
		return c.request(t, names, nil)
	}
	versions := map[string]string{}
	for name, h := range tab.held {
		versions[name] = h.version
		if t != cds && t != lds {
			tab.asked[name] = true // held: no answer is due
		}
	}
	c.event("subscribe", "type", typeNames[t], "count", len(names), "held", len(versions))
	return c.send(&discovery.DeltaDiscoveryRequest{Node: c.node(), TypeUrl: typeURLs[t],
		ResourceNamesSubscribe: names, InitialResourceVersions: versions})
}

// request sends what is wanted of a type, with the answer to its last response.
func (c *client) request(t int, names []string, err *rpcstatus.Status) error {
	tab := &c.tables[t]
	return c.send(&discovery.DiscoveryRequest{Node: c.node(), TypeUrl: typeURLs[t], ResourceNames: names,
		VersionInfo: tab.version, ResponseNonce: tab.nonce, ErrorDetail: err})
}

// response is one of either protocol.
type response struct {
	url, version, nonce string
	names, versions     []string
	bodies              [][]byte
	removed             []string
}

func (c *client) decode(b []byte) (*response, error) {
	if c.o.sotw {
		var m discovery.DiscoveryResponse
		if err := proto.Unmarshal(b, &m); err != nil {
			return nil, err
		}
		r := &response{url: m.TypeUrl, version: m.VersionInfo, nonce: m.Nonce}
		for _, a := range m.Resources {
			r.names = append(r.names, resourceName(a.Value))
			r.versions = append(r.versions, m.VersionInfo)
			r.bodies = append(r.bodies, a.Value)
		}
		return r, nil
	}
	var m discovery.DeltaDiscoveryResponse
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	r := &response{url: m.TypeUrl, version: m.SystemVersionInfo, nonce: m.Nonce, removed: m.RemovedResources}
	for _, res := range m.Resources {
		r.names = append(r.names, res.Name)
		r.versions = append(r.versions, res.Version)
		r.bodies = append(r.bodies, res.GetResource().GetValue())
	}
	return r, nil
}

// refused tells whether the resource is on a list of those to be refused.
func (c *client) refused(t int, name string) bool {
	match := func(l list) bool {
		return slices.Contains(l, name) || slices.Contains(l, typeNames[t]+"/"+name)
	}
	if match(c.o.nack) {
		return true
	}
	key := typeNames[t] + "/" + name
	if !match(c.o.nackOnce) || c.once[key] {
		return false
	}
	c.once[key] = true
	return true
}

// take applies a response as Envoy does, answers it, and asks for what its resources mention.
func (c *client) take(b []byte, began, at int64) error {
	r, err := c.decode(b)
	if err != nil {
		return err
	}
	t := typeOf(r.url)
	c.responses++
	if c.first == 0 {
		c.first = at
	}
	if t < 0 {
		c.eventAt(at, "response", "type", r.url, "bytes", len(b))
		return nil
	}
	tab := &c.tables[t]
	tab.nonce = r.nonce
	tab.responses++
	tab.bytes += len(b)
	c.eventAt(at, "response", "type", typeNames[t], "nonce", r.nonce, "version", r.version, "bytes", len(b),
		"began", began, "count", len(r.names), "names", r.names, "removed_count", len(r.removed), "removed", r.removed)
	var bad []string
	for _, name := range r.names {
		if c.refused(t, name) {
			bad = append(bad, name)
		}
	}
	c.apply(t, r, bad)
	if err := c.answer(t, r, bad); err != nil {
		return err
	}
	return c.follow(t)
}

func (c *client) apply(t int, r *response, bad []string) {
	tab := &c.tables[t]
	whole := t == cds || t == lds // these are taken in part
	for i, name := range r.names {
		if _, ok := tab.asked[name]; ok {
			tab.asked[name] = true
		}
		if slices.Contains(bad, name) || (len(bad) > 0 && !whole) {
			continue
		}
		tab.held[name] = held{r.versions[i], children(t, r.bodies[i])}
	}
	for _, name := range r.removed {
		delete(tab.held, name)
		if _, ok := tab.asked[name]; ok {
			tab.asked[name] = true
		}
	}
	if c.o.sotw && whole {
		present := map[string]bool{}
		for _, name := range r.names {
			present[name] = true
		}
		for name := range tab.held {
			if !present[name] {
				delete(tab.held, name)
			}
		}
	}
}

func (c *client) answer(t int, r *response, bad []string) error {
	tab := &c.tables[t]
	var detail *rpcstatus.Status
	kind := "ack"
	if len(bad) > 0 {
		kind = "nack"
		tab.nacks++
		detail = &rpcstatus.Status{Code: int32(codes.Internal), Message: c.words(t, bad)}
	} else {
		tab.version = r.version
	}
	var err error
	if c.o.sotw {
		err = c.request(t, sorted(tab.asked), detail)
	} else {
		err = c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURLs[t], ResponseNonce: r.nonce,
			ErrorDetail: detail})
	}
	c.acked = monotonic()
	c.eventAt(c.acked, kind, "type", typeNames[t], "nonce", r.nonce, "refused", bad)
	return err
}

// words of a refusal, in Envoy's form.
func (c *client) words(t int, bad []string) string {
	if c.o.anonymous {
		return "refused by adsclient"
	}
	var parts []string
	for _, name := range bad {
		parts = append(parts, name+": refused by adsclient")
	}
	lead := map[int]string{cds: "Error adding/updating cluster(s) ",
		lds: "Error adding/updating listener(s) "}
	return lead[t] + strings.Join(parts, ", ")
}

// follow makes the subscriptions by name what clusters and listeners mention, and asks for listeners
// once the first clusters have their endpoints.
func (c *client) follow(t int) error {
	if t == cds || t == lds {
		wanted := [typeCount]map[string]bool{eds: {}, rds: {}, sds: {}}
		for _, parent := range []int{cds, lds} {
			for _, h := range c.tables[parent].held {
				for _, k := range h.children {
					wanted[k.kind][k.name] = true
				}
			}
		}
		for _, k := range []int{eds, sds, rds} {
			if err := c.subscribe(k, wanted[k]); err != nil {
				return err
			}
		}
	}
	if c.tables[lds].started || len(c.missingOf(eds)) > 0 || len(c.missingOf(sds)) > 0 {
		return nil
	}
	return c.declare(lds)
}

func (c *client) subscribe(t int, wanted map[string]bool) error {
	tab := &c.tables[t]
	var add, drop []string
	for name := range wanted {
		if _, ok := tab.asked[name]; !ok {
			add = append(add, name)
			tab.asked[name] = false
		}
	}
	for name := range tab.asked {
		if !wanted[name] {
			drop = append(drop, name)
			delete(tab.asked, name)
			delete(tab.held, name)
		}
	}
	if len(add) == 0 && len(drop) == 0 {
		return nil
	}
	slices.Sort(add)
	slices.Sort(drop)
	if !tab.started {
		return c.declare(t)
	}
	c.event("subscribe", "type", typeNames[t], "count", len(add), "dropped", len(drop))
	if c.o.sotw {
		return c.request(t, sorted(tab.asked), nil)
	}
	return c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURLs[t], ResourceNamesSubscribe: add,
		ResourceNamesUnsubscribe: drop})
}

func (c *client) missingOf(t int) (out []string) {
	for name, answered := range c.tables[t].asked {
		if !answered {
			out = append(out, typeNames[t]+"/"+name)
		}
	}
	return out
}

// missing is what was asked for and not answered yet.
func (c *client) missing() (out []string) {
	for _, t := range []int{cds, lds} {
		if c.tables[t].responses == 0 {
			out = append(out, typeNames[t]+"/*")
		}
	}
	for t := range c.tables {
		out = append(out, c.missingOf(t)...)
	}
	slices.Sort(out)
	return out
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
