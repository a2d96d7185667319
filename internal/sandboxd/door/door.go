// Package door is a sandbox's door to the gateway. The agent speaks plain HTTP to it on the loopback address, with a placeholder where a
// key would be; the door proves to the gateway which pod is asking and passes everything else on as it came, in both directions. It also
// speaks for sandboxd itself: heartbeats, and the report of a run.
//
// Whoever runs beside the agent can use the door, and can do with the pod's token whatever the door does: what a sandbox may do is decided
// in the gateway. The door's own refusals only protect an agent's user from third parties, such as web pages in a browser of the sandbox.
package door

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/duplex"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// Options are what a Door needs to know.
type Options struct {
	Gateway contract.Gateway
	// Providers are those that the agent is let through to.
	Providers []string
	// TokenFile holds the pod's token; the kubelet writes it anew from time to time.
	TokenFile string
	Now       func() time.Time
	// Note tells the user of trouble with the gateway, once.
	Note func(format string, args ...any)
}

// Door is open from Open to Close.
type Door struct {
	providers []string
	hosts     []string
	base      *url.URL
	address   string
	note      func(format string, args ...any)
	now       func() time.Time

	transport *http.Transport
	calls     http.RoundTripper
	proxy     *httputil.ReverseProxy
	server    *http.Server
	seen      seen
	trouble   sync.Once

	stopServing, stopBeating context.CancelFunc
	serving, beating         sync.WaitGroup
}

// maxHeader bounds the header of a request; agents send a few hundred bytes.
const maxHeader = 256 << 10

// Open serves the agent on a listener, which it takes over, and begins the heartbeats.
func Open(listener net.Listener, o Options) (*Door, error) {
	base, transport, err := dialling(o.Gateway)
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	d := newDoor(listener.Addr(), o)
	d.base, d.transport = base, transport
	d.calls = &caller{next: transport, token: &token{path: o.TokenFile, now: o.Now}, now: o.Now}
	d.proxy = d.newProxy()
	d.serve(listener)
	beating, stop := context.WithCancel(context.Background())
	d.stopBeating = stop
	d.beating.Go(func() { d.beat(beating) })
	return d, nil
}

func newDoor(address net.Addr, o Options) *Door {
	_, port, _ := net.SplitHostPort(address.String())
	return &Door{
		providers: slices.Sorted(slices.Values(o.Providers)),
		hosts:     []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("localhost", port)},
		address:   address.String(), note: o.Note, now: o.Now,
	}
}

func (d *Door) serve(listener net.Listener) {
	serving, stop := context.WithCancel(context.Background())
	d.stopServing = stop
	d.server = &http.Server{
		Handler:           d,
		ReadHeaderTimeout: 30 * time.Second,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          silent(),
		BaseContext:       func(net.Listener) context.Context { return serving },
	}
	d.serving.Go(func() { _ = d.server.Serve(listener) }) // it ends with Shut only
}

// silent is for messages of libraries, which may quote what was sent.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }

// Address is where the agent is served.
func (d *Door) Address() string { return d.address }

// LastFailure is how the last request failed whose failure the gateway could name, nil once its provider has accepted another one.
func (d *Door) LastFailure() *failure.Failure { return d.seen.last() }

// Accepted is how many requests the providers have accepted.
func (d *Door) Accepted() int64 { return d.seen.successes() }

// Shut ends the serving of the agent; streams that are open are cut. The heart goes on beating.
func (d *Door) Shut() {
	d.stopServing()
	_ = d.server.Close()
	d.serving.Wait()
}

// Close ends everything.
func (d *Door) Close() {
	d.Shut()
	d.stopBeating()
	d.beating.Wait()
	d.transport.CloseIdleConnections()
}

// ServeHTTP lets a request through to its provider.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !d.isForUs(r) {
		refuse(w, http.StatusForbidden, "permission_error", "This address serves the programs of the sandbox at "+d.hosts[0]+" only")
		return
	}
	provider, path, ok := split(r.RequestURI)
	switch {
	case !ok:
		refuse(w, http.StatusBadRequest, "invalid_request_error", "The request must name a path, /<provider>/<path>")
		return
	case !slices.Contains(d.providers, provider):
		refuse(w, http.StatusNotFound, "not_found_error", d.unknown())
		return
	}
	w, r = duplex.Allow(w, r)
	r, err := replayable(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request_error", "The body of the request ended early")
		return
	}
	d.proxy.ServeHTTP(w, r.WithContext(withTarget(r.Context(), target{provider, path})))
}

func (d *Door) unknown() string {
	if len(d.providers) == 0 {
		return "This session has no provider at this address"
	}
	return "This session has no such provider at this address; it has " + strings.Join(d.providers, ", ")
}

// isForUs refuses what a web page makes a browser send: a name that was rebound to this address is in Host, and the page's own in Origin.
func (d *Door) isForUs(r *http.Request) bool {
	if !d.isHost(r.Host) {
		return false
	}
	for _, origin := range r.Header.Values("Origin") {
		host, isHTTP := strings.CutPrefix(origin, "http://")
		if !isHTTP || !d.isHost(host) {
			return false
		}
	}
	return true
}

func (d *Door) isHost(host string) bool { return slices.Contains(d.hosts, strings.ToLower(host)) }

// split parts a request's target into the provider, as it is written, and the rest of the path with its encoding untouched. A target that
// is no path is for forward proxies, or for CONNECT.
func split(target string) (provider, path string, ok bool) {
	target, _, _ = strings.Cut(target, "?")
	rest, ok := strings.CutPrefix(target, "/")
	if !ok {
		return "", "", false
	}
	provider, _, _ = strings.Cut(rest, "/")
	return provider, rest[len(provider):], true
}

// hint tells of trouble with the gateway, the first time.
func (d *Door) hint(err error) {
	d.trouble.Do(func() {
		d.note("The gateway cannot be reached or does not answer as it should, and is tried again: %v", err)
	})
}

// errorf is fmt.Errorf with the words that all errors of this package begin with.
func errorf(format string, args ...any) error { return fmt.Errorf("the gateway: "+format, args...) }
