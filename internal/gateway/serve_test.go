package gateway

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/ledger"
	"github.com/sandkeep/sandkeep/internal/keep"
)

const gatewayName = "sandkeep-gateway.sandkeep-system.svc"

// serving is a gateway that has been started, by TLS.
type serving struct {
	*stage
	stop  context.CancelFunc
	ended chan error
}

// certified puts a certificate of the gateway into the keep.
func (s *stage) certified(a *authority, create bool) {
	s.t.Helper()
	certificate, private := a.issue(gatewayName, time.Now().Add(time.Hour))
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.NamespaceKeys, Name: keep.GatewayServingSecret}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: private},
	}
	if !create {
		s.write(secret, false)
	} else if err := s.api.Create(s.t.Context(), secret); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) start() *serving {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.Address = listener.Addr().String()
	_ = listener.Close()
	ctx, stop := context.WithCancel(context.Background())
	s.leaveTime = cmp.Or(s.leaveTime, time.Millisecond)
	g := &serving{stage: s, stop: stop, ended: make(chan error, 1)}
	go func() { g.ended <- s.Start(ctx) }()
	s.t.Cleanup(stop)
	s.eventually("the gateway", s.serving.Load)
	return g
}

// client is an agent that trusts an authority; each one makes connections of its own.
func (g *serving) client(a *authority) *http.Client {
	c := newAgent()
	transport := c.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{RootCAs: a.pool(), ServerName: gatewayName}
	g.t.Cleanup(transport.CloseIdleConnections)
	return c
}

func (g *serving) request(path string) *http.Request {
	r := g.stage.request(http.MethodPost, path, "")
	r.URL.Scheme, r.URL.Host = "https", g.Address
	return r
}

func TestTheGatewayIsReadyWhileItHasACertificateAndServes(t *testing.T) {
	s := newStage(t, fine)
	if s.Ready(nil) == nil {
		t.Error("ready before it serves")
	}
	g := s.start()
	if err := s.Ready(nil); err == nil || !strings.Contains(err.Error(), "which the keeper makes") {
		t.Errorf("ready without a certificate: %v", err)
	}
	first, second := newAuthority(t), newAuthority(t)
	s.certified(first, true)
	if err := s.Ready(nil); err != nil {
		t.Errorf("not ready: %v", err)
	}
	if a := s.read(g.client(first).Do(g.request(messages))); a.StatusCode != http.StatusOK || a.Proto != "HTTP/1.1" || a.TLS.Version != tls.VersionTLS13 {
		t.Errorf("%s %s: %s", a.Proto, a.Status, a.body)
	}
	s.certified(second, false)
	if a := s.read(g.client(second).Do(g.request(contract.GatewayHeartbeat))); a.StatusCode != http.StatusNoContent {
		t.Errorf("by the next certificate: %s", a.Status)
	}
	if _, err := g.client(first).Do(g.request(contract.GatewayHeartbeat)); err == nil {
		t.Error("the last certificate is still in use")
	}
	broken := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.NamespaceKeys, Name: keep.GatewayServingSecret}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: []byte("x"), corev1.TLSPrivateKeyKey: []byte(canary)},
	}
	s.write(broken, false)
	if err := s.Ready(nil); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("ready with a broken certificate: %v", err)
	}
	g.stop()
	if err := <-g.ended; err != nil {
		t.Error(err)
	}
	if s.Ready(nil) == nil {
		t.Error("ready after the end")
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	s := newStage(t, fine)
	a := newAuthority(t)
	s.certified(a, true)
	g := s.start()
	agent := g.client(a)
	agent.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS12
	if _, err := agent.Do(g.request(contract.GatewayHeartbeat)); err == nil {
		t.Error("TLS 1.2 is spoken")
	}
	g.stop()
	if err := <-g.ended; err != nil {
		t.Error(err)
	}
}

// TestAGatewayThatStopsTakesConnectionsUntilItIsKnown: those who spread connections over the replicas hear later than the replica that it goes.
func TestAGatewayThatStopsTakesConnectionsUntilItIsKnown(t *testing.T) {
	s := newStage(t, fine)
	now := clocktesting.NewFakeClock(time.Now())
	s.Clock, s.leaveTime = now, LeaveTime
	a := newAuthority(t)
	s.certified(a, true)
	g := s.start()
	old := g.client(a)
	if r := s.read(old.Do(g.request(messages))); r.Close {
		t.Error("a connection ends with its first request")
	}
	g.stop()
	s.eventually("that it is not ready", func() bool { return s.Ready(nil) != nil })
	for name, agent := range map[string]*http.Client{"an agent that it knows": old, "a new one": g.client(a)} {
		if r := s.read(agent.Do(g.request(messages))); r.StatusCode != http.StatusOK || !r.Close {
			t.Errorf("%s is answered %s, and its connection ends: %t", name, r.Status, r.Close)
		}
	}
	s.eventually("its end", func() bool {
		now.Step(LeaveTime)
		return len(g.ended) == 1
	})
	if err := <-g.ended; err != nil {
		t.Error(err)
	}
}

func TestAGatewayThatStopsLetsStreamsEnd(t *testing.T) {
	finish := make(chan struct{})
	s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
		pieces(200, stream, started, word)(w, r)
		<-finish
		_, _ = io.WriteString(w, finished)
	})
	s.Ledger = ledger.New(s.api, interceptor.NewClient(s.api, interceptor.Funcs{
		SubResourceApply: func(ctx context.Context, c client.Client, sub string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			time.Sleep(100 * time.Millisecond) // an API server that takes its time
			return c.SubResource(sub).Apply(ctx, o, opts...)
		},
	}), clock.RealClock{})
	a := newAuthority(t)
	s.certified(a, true)
	g := s.start()
	r, err := g.client(a).Do(g.request(messages))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	reader := bufio.NewReader(r.Body)
	if line, err := reader.ReadString('\n'); err != nil || line != "event: message_start\n" {
		t.Fatalf("%q, %v", line, err)
	}
	g.stop()
	s.eventually("that new connections are refused", func() bool {
		conn, err := net.Dial("tcp", s.Address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	if s.Ready(nil) == nil {
		t.Error("ready, though it stops")
	}
	select {
	case err := <-g.ended:
		t.Fatalf("it stopped in the middle of a stream: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	close(finish)
	rest, err := io.ReadAll(reader)
	if err != nil || !strings.HasSuffix(string(rest), finished) {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	if err := <-g.ended; err != nil {
		t.Error(err)
	}
	s.stored([3]int64{1, 125, 15})
}

// webSocket is an open one, to a gateway that is then told to stop.
func (g *serving) webSocket(a *authority) (net.Conn, *bufio.Reader) {
	g.t.Helper()
	conn, err := tls.Dial("tcp", g.Address, &tls.Config{RootCAs: a.pool(), ServerName: gatewayName, NextProtos: []string{"http/1.1"}})
	if err != nil {
		g.t.Fatal(err)
	}
	reader, answer := g.upgrade(conn, "websocket")
	if answer.StatusCode != http.StatusSwitchingProtocols {
		g.t.Fatal(answer.Status)
	}
	g.stop()
	g.eventually("that new connections are refused", func() bool {
		conn, err := net.Dial("tcp", g.Address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	return conn, reader
}

func TestAGatewayThatStopsLetsWebSocketsEnd(t *testing.T) {
	s := newStage(t, switching(parrot), uncounted)
	a := newAuthority(t)
	s.certified(a, true)
	g := s.start()
	conn, reader := g.webSocket(a)
	select {
	case err := <-g.ended:
		t.Fatalf("it stopped beside an open WebSocket: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	_, _ = io.WriteString(conn, "still here\n")
	if got, err := reader.ReadString('\n'); got != "still here\n" {
		t.Errorf("got %q, %v", got, err)
	}
	_ = conn.Close()
	if err := <-g.ended; err != nil {
		t.Error(err)
	}
	s.stored([3]int64{1, 0, 0})
}

func TestWebSocketsThatGoOnAreCutAndCounted(t *testing.T) {
	s := newStage(t, switching(parrot), uncounted)
	s.drainTime = 100 * time.Millisecond
	a := newAuthority(t)
	s.certified(a, true)
	g := s.start()
	_, reader := g.webSocket(a)
	if rest, err := io.ReadAll(reader); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the WebSocket goes on: %q, %v", rest, err)
	}
	if err := <-g.ended; err == nil || !strings.Contains(err.Error(), "streams were cut") {
		t.Errorf("error %v", err)
	}
	s.stored([3]int64{1, 0, 0})
}

// TestAnswersInJSONThatGoOnAreCutAndCounted as far as they came.
func TestAnswersInJSONThatGoOnAreCutAndCounted(t *testing.T) {
	s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
		pieces(200, json, `{"usage":{"input_tokens":7,"output_tokens":9},`)(w, r)
		<-r.Context().Done()
	})
	s.drainTime = 100 * time.Millisecond
	a := newAuthority(t)
	s.certified(a, true)
	g := s.start()
	r, err := g.client(a).Do(g.request(messages))
	if err != nil {
		t.Fatal(err)
	}
	g.stop()
	if got := s.read(r, nil); !got.cut {
		t.Errorf("the answer has an end: %q", got.body)
	}
	if err := <-g.ended; err == nil || !strings.Contains(err.Error(), "streams were cut") {
		t.Errorf("error %v", err)
	}
	s.stored([3]int64{1, 7, 9})
}

func TestAnAddressThatIsTakenEndsTheGateway(t *testing.T) {
	s := newStage(t, fine)
	s.Address = strings.TrimPrefix(s.front, "http://")
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "listen for sandboxes") {
		t.Errorf("error %v", err)
	}
}
