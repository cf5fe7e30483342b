// Command load asks one HTTP/1.1 server the same again and again, on kept connections, and says how long it took.
//
//	load -address HOST:PORT [-path /] [-header "Name: value"]... [-connections 8] [-requests 10000] [-rate 0] [-status 200]
//
// RATE is of all connections together, in requests a second; 0: as fast as answers come. With a rate the time of a request
// counts from when it was due. Printed is one line of JSON: requests, wrong (other answers than STATUS), seconds, p50_us,
// p99_us.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

type headers []string

func (h *headers) String() string     { return strings.Join(*h, "; ") }
func (h *headers) Set(s string) error { *h = append(*h, s); return nil }

// answer reads one response and gives its status.
func answer(r *bufio.Reader) (int, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 {
		return 0, fmt.Errorf("not an answer: %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, err
	}
	length := 0
	for {
		line, err = r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, _ := strings.Cut(string(line), ":"); strings.EqualFold(name, "content-length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return 0, err
			}
		}
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return status, err
}

type result struct {
	times []time.Duration
	wrong int
	err   error
}

// client sends N requests on one connection, one each EVERY from BEGIN on (0: without pause).
func client(address, request string, n, status int, begin time.Time, every time.Duration) (out result) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return result{err: err}
	}
	defer c.Close()
	r, data := bufio.NewReaderSize(c, 65536), []byte(request)
	for i := range n {
		from := time.Now()
		if every > 0 {
			from = begin.Add(time.Duration(i) * every)
			time.Sleep(time.Until(from))
		}
		if _, out.err = c.Write(data); out.err != nil {
			return out
		}
		got, err := answer(r)
		if err != nil {
			out.err = err
			return out
		}
		out.times = append(out.times, time.Since(from))
		if got != status {
			out.wrong++
		}
	}
	return out
}

func main() {
	var more headers
	address := flag.String("address", "", "HOST:PORT")
	path := flag.String("path", "/", "of the requests")
	connections := flag.Int("connections", 8, "how many")
	requests := flag.Int("requests", 10000, "of all connections together")
	rate := flag.Float64("rate", 0, "requests a second; 0: as fast as it goes")
	status := flag.Int("status", 200, "what the answers should say")
	flag.Var(&more, "header", "of the requests")
	flag.Parse()
	request := "GET " + *path + " HTTP/1.1\r\nHost: load.test\r\n"
	for _, h := range more {
		request += h + "\r\n"
	}
	request += "\r\n"
	each := *requests / *connections
	var every time.Duration
	if *rate > 0 {
		every = time.Duration(float64(*connections) / *rate * float64(time.Second))
	}
	results := make([]result, *connections)
	var wait sync.WaitGroup
	begin := time.Now()
	for i := range results {
		wait.Add(1)
		go func() {
			defer wait.Done()
			// Connections with a rate take turns.
			first := begin.Add(every * time.Duration(i) / time.Duration(*connections))
			results[i] = client(*address, request, each, *status, first, every)
		}()
	}
	wait.Wait()
	seconds := time.Since(begin).Seconds()
	var times []time.Duration
	wrong := 0
	for _, r := range results {
		if r.err != nil {
			fmt.Fprintln(os.Stderr, "load:", r.err)
			os.Exit(1)
		}
		times, wrong = append(times, r.times...), wrong+r.wrong
	}
	slices.Sort(times)
	at := func(q float64) int64 { return times[min(len(times)-1, int(q*float64(len(times))))].Microseconds() }
	json.NewEncoder(os.Stdout).Encode(map[string]any{"requests": len(times), "wrong": wrong, "seconds": seconds,
		"p50_us": at(0.5), "p99_us": at(0.99)})
}
