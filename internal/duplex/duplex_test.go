package duplex

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"
)

const patience = 20 * time.Second

// hasty answers small requests, and refuses large ones without reading them.
func hasty(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > 1000 {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	text, _ := io.ReadAll(r.Body)
	_, _ = fmt.Fprintf(w, "%d bytes", len(text))
}

// through is a proxy before a server, as the gateway is.
func through(t *testing.T, server http.HandlerFunc) *httptest.Server {
	t.Helper()
	upstream := httptest.NewServer(server)
	t.Cleanup(upstream.Close)
	to, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, FlushInterval: -1, Transport: &http.Transport{}, ErrorLog: log.New(io.Discard, "", 0)}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w, r = Allow(w, r)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front
}

func post(t *testing.T, c *http.Client, url string, size int) (int, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, io.NopCloser(bytes.NewReader(make([]byte, size))))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = int64(size)
	answer, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// TestAnEarlyAnswerSpoilsNoOtherRequest failed in half of its requests, and now and then ended the process, while connections were used again.
func TestAnEarlyAnswerSpoilsNoOtherRequest(t *testing.T) {
	front := through(t, hasty)
	for _, size := range []int{100 << 10, 600 << 10, 2 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			for range 20 {
				c := &http.Client{Transport: &http.Transport{}, Timeout: patience}
				if status, _, err := post(t, c, front.URL, size); err == nil && status != http.StatusTooManyRequests {
					t.Errorf("the large one: %d", status)
				}
				if status, text, err := post(t, c, front.URL, 2); status != http.StatusOK || text != "2 bytes" || err != nil {
					t.Errorf("the one after it: %d %q, %v", status, text, err)
				}
				c.CloseIdleConnections()
			}
		})
	}
}

func TestConnectionsAreUsedAgainWhereTheRequestHasCome(t *testing.T) {
	front := through(t, hasty)
	for name, c := range map[string]struct {
		request string
		again   bool
	}{
		"no body":                         {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
		"a whole body":                    {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", true},
		"a whole body in chunks":          {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true},
		"the beginning of a body":         {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n{", false},
		"another request in place of one": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", front.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(conn, c.request)
			lines := bufio.NewReader(conn)
			answer, err := http.ReadResponse(lines, nil)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Close == c.again {
				t.Errorf("the connection ends: %t", answer.Close)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			if c.again {
				return
			}
			_, _ = io.WriteString(conn, strings.Repeat(" ", 999999)+"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
			if rest, _ := io.ReadAll(lines); len(rest) > 0 {
				t.Errorf("what was left of the body was answered: %q", rest)
			}
		})
	}
}
