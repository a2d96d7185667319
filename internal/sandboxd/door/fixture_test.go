package door

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// canary looks like a key and must never leave the sandbox through the door.
const canary = "sk-ant-api03-canary-0123456789abcdef"

// gateway is a TLS server in the gateway's place. It answers heartbeats, and hands everything else to answer.
type gateway struct {
	*httptest.Server
	answer http.HandlerFunc

	mu   sync.Mutex
	seen []string
}

func newGateway(t *testing.T, answer http.HandlerFunc) *gateway {
	t.Helper()
	g := &gateway{answer: answer}
	g.Server = httptest.NewUnstartedServer(g)
	g.Config.ErrorLog = silent()
	g.StartTLS()
	t.Cleanup(g.Close)
	return g
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == contract.GatewayHeartbeat {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var head bytes.Buffer
	_ = r.Header.Write(&head)
	g.mu.Lock()
	g.seen = append(g.seen, r.Method+" "+r.RequestURI+" "+r.Proto+"\n"+head.String())
	g.mu.Unlock()
	g.answer(w, r)
}

// requests are those that came in, in the order in which they did.
func (g *gateway) requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.seen...)
}

func (g *gateway) contract() contract.Gateway {
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.Certificate().Raw})
	return contract.Gateway{URL: g.URL, CABundle: string(bundle)}
}

// sandbox is a door with what surrounds it.
type sandbox struct {
	*Door
	t         *testing.T
	tokenFile string
	notes     *notes
}

// notes are what the user is told.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, errorf(format, args...).Error())
}

func (n *notes) all() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.lines, "\n")
}

func openDoor(t *testing.T, g contract.Gateway) *sandbox {
	t.Helper()
	s := &sandbox{t: t, tokenFile: filepath.Join(t.TempDir(), contract.GatewayTokenFile), notes: &notes{}}
	s.setToken("token-1")
	d, err := Open(listen(t), Options{Gateway: g, Providers: []string{"openai", "anthropic"}, TokenFile: s.tokenFile, Now: time.Now, Note: s.notes.add})
	if err != nil {
		t.Fatal(err)
	}
	s.Door = d
	t.Cleanup(d.Close)
	return s
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// setToken replaces the file as the kubelet does.
func (s *sandbox) setToken(value string) {
	s.t.Helper()
	if err := os.WriteFile(s.tokenFile+".new", []byte(value), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.tokenFile+".new", s.tokenFile); err != nil {
		s.t.Fatal(err)
	}
}

// request is one of the agent's, as its client makes it.
func (s *sandbox) request(method, path string, body io.Reader) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.Address()+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// do sends a request and reads the answer.
func (s *sandbox) do(r *http.Request) (*http.Response, string) {
	s.t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer, string(text)
}

func (s *sandbox) post(path, body string) (*http.Response, string) {
	s.t.Helper()
	return s.do(s.request(http.MethodPost, path, strings.NewReader(body)))
}

// raw sends bytes as they are and reads the first answer.
func (s *sandbox) raw(request string) *http.Response {
	s.t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(context.Background(), "tcp", s.Address())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	return readAnswer(s.t, conn)
}

// errorIn is the message of an error as a provider's client finds it.
func errorIn(t *testing.T, text string) string {
	t.Helper()
	var answer struct {
		Type  string
		Error struct{ Type, Message string }
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Type != "error" || answer.Error.Type == "" || answer.Error.Message == "" {
		t.Fatalf("no error that a client could read: %q, %v", text, err)
	}
	return answer.Error.Message
}

func ok(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, "fine")
}
