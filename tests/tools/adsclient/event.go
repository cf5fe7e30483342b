// What the client prints.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sync"
)

var (
	outLock sync.Mutex
	out     = bufio.NewWriterSize(os.Stdout, 1<<20)
)

func flush() {
	outLock.Lock()
	defer outLock.Unlock()
	_ = out.Flush()
}

func (c *client) event(name string, pairs ...any) {
	c.eventAt(monotonic(), name, pairs...)
}

// eventAt prints one line: {"t": ..., "client": ..., "event": NAME, key: value, ...}.
func (c *client) eventAt(at int64, name string, pairs ...any) {
	if c.o.print == "none" && name != "summary" {
		return
	}
	line := map[string]any{"t": at, "client": c.id, "event": name}
	for i := 0; i+1 < len(pairs); i += 2 {
		key := pairs[i].(string)
		if list, ok := pairs[i+1].([]string); ok && (len(list) == 0 || !c.o.names) {
			continue
		}
		line[key] = pairs[i+1]
	}
	b, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	outLock.Lock()
	defer outLock.Unlock()
	_, _ = out.Write(append(b, '\n'))
	_ = out.Flush()
}

// summary says how it went, once at the end: what is held (name to version), what is missing, the times of
// the start, the first response and the last answer.
func (c *client) summary() {
	pairs := []any{"start", c.start, "first_response", c.first, "last_answer", c.acked,
		"missing", c.missing(), "responses", c.responses}
	for t := range c.tables {
		tab := &c.tables[t]
		one := map[string]any{"held": len(tab.held), "asked": len(tab.asked), "responses": tab.responses,
			"bytes": tab.bytes, "nacks": tab.nacks}
		if c.o.names {
			versions := map[string]string{}
			for name, h := range tab.held {
				versions[name] = h.version
			}
			one["versions"] = versions
		}
		pairs = append(pairs, typeNames[t], one)
	}
	c.eventAt(monotonic(), "summary", pairs...)
}
