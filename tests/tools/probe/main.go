// probe times what happens beside Solder. It prints lines of JSON with monotonic nanoseconds
// (CLOCK_MONOTONIC, comparable between the processes of a machine).
//
//	probe watch URL             blocking queries of Consul: one line for each answer whose index moved
//	probe poll ADDR HOST PATH   asks over HTTP without pause: one line whenever the answer is another one
//	probe fetch CONNECTIONS     GETs the URLs of standard input, one a line: one line when all are there
//	probe count ADDR TARGET     passes HTTP on from ADDR to TARGET: one line for each request
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

var outLock sync.Mutex

func say(line map[string]any) {
	b, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	outLock.Lock()
	defer outLock.Unlock()
	_, _ = os.Stdout.Write(append(b, '\n'))
}

// watch prints when an answer began (its first byte) and when it was complete.
func watch(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	query := u.Query()
	query.Set("wait", "10m")
	buffer := make([]byte, 1<<20)
	for index := "0"; ; {
		query.Set("index", index)
		u.RawQuery = query.Encode()
		answer, err := http.Get(u.String())
		if err != nil {
			return err
		}
		head := monotonic()
		var size int64
		for {
			n, err := answer.Body.Read(buffer)
			size += int64(n)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		at := monotonic()
		_ = answer.Body.Close()
		if now := answer.Header.Get("X-Consul-Index"); now != index {
			index = now
			say(map[string]any{"t": at, "head": head, "index": index, "bytes": size})
		}
	}
}

// poll keeps one connection and makes it anew when it is closed.
func poll(address, host, path string) error {
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host)
	last := ""
	for {
		c, err := net.Dial("tcp", address)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		r := bufio.NewReader(c)
		for {
			if _, err = c.Write(request); err != nil {
				break
			}
			answer, err := http.ReadResponse(r, nil)
			if err != nil {
				break
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				break
			}
			at := monotonic()
			if now := strconv.Itoa(answer.StatusCode) + " " + string(body); now != last {
				last = now
				say(map[string]any{"t": at, "status": answer.StatusCode, "body": string(body)})
			}
			time.Sleep(200 * time.Microsecond)
		}
		_ = c.Close()
	}
}

func fetch(connections int) error {
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}}
	urls := make(chan string, connections)
	var group sync.WaitGroup
	var size, bad, count atomic.Int64
	began := monotonic()
	for range connections {
		group.Add(1)
		go func() {
			defer group.Done()
			for u := range urls {
				count.Add(1)
				answer, err := client.Get(u)
				if err != nil {
					bad.Add(1)
					continue
				}
				n, err := io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				size.Add(n)
				if err != nil || answer.StatusCode != http.StatusOK {
					bad.Add(1)
				}
			}
		}()
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		urls <- lines.Text()
	}
	close(urls)
	group.Wait()
	say(map[string]any{"t": monotonic(), "began": began, "bytes": size.Load(), "count": count.Load(), "bad": bad.Load()})
	return lines.Err()
}

func count(address, target string) error {
	u, err := url.Parse("http://" + target)
	if err != nil {
		return err
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ErrorLog = log.New(io.Discard, "", 0) // of those who hang up
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true}
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		say(map[string]any{"t": monotonic(), "path": r.URL.Path, "query": r.URL.RawQuery})
		proxy.ServeHTTP(w, r)
	}))
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "watch":
		return watch(args[1])
	case len(args) == 4 && args[0] == "poll":
		return poll(args[1], args[2], args[3])
	case len(args) == 2 && args[0] == "fetch":
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no number of connections", args[1])
		}
		return fetch(n)
	case len(args) == 3 && args[0] == "count":
		return count(args[1], args[2])
	}
	return fmt.Errorf("usage: probe watch URL | poll ADDR HOST PATH | fetch CONNECTIONS | count ADDR TARGET")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}
