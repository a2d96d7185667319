//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
	"github.com/sandkeep/sandkeep/hack/cluster/internal/pki"
)

// TestInstallOnAClusterOfOnesOwn does what docs/quick-start.md says on a cluster that knows nothing of Sandkeep, and to which
// nothing is loaded: what runs there was pushed to a registry, and the node pulled it.
func TestInstallOnAClusterOfOnesOwn(t *testing.T) {
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("it starts a cluster, which takes root and some minutes")
	}
	c := newBare(t)
	r := c.serveRegistry(t)
	keepDist(t, c.source)
	start := time.Now()
	c.runAll(t, documented(t, c, r, "# Quick start"))
	t.Logf("installed, with a Session: %s", seconds(start))
	c.expectPulled(t, r)

	start = time.Now()
	c.runAll(t, append(documented(t, c, r, "**To remove it**"), documented(t, c, r, "To see the manifests")...))
	for _, kind := range []string{"sessionclass/opencode", "apiprovider/anthropic"} {
		c.run(t, c.dir, "kubectl", "get", kind)
	}
	t.Logf("removed, and installed by file: %s", seconds(start))
}

// bare is a cluster of its own on this machine, with an environment that leads to it as to anybody's cluster.
type bare struct {
	source, dir string
	network     layout.Network
	env         []string
}

func newBare(t *testing.T) *bare {
	t.Helper()
	source, err := findSource()
	if err != nil {
		t.Fatal(err)
	}
	c := &bare{source: source, dir: t.TempDir()}
	launcher, dir := buildLauncher(t, c.dir), layout.Dir(filepath.Join(c.dir, "cluster"))
	command := func(name string) *exec.Cmd {
		// It ends by itself, and what it cleans up must not be cut short.
		cmd := exec.CommandContext(context.Background(), launcher, name)
		cmd.Env = append(os.Environ(), "CLUSTER_DIR="+string(dir), "EGRESS=", "CLUSTER=")
		return cmd
	}
	t.Cleanup(func() { mustRun(t, command("down")) })
	t.Logf("up:\n%s", mustRun(t, command("up")))
	record, _, err := dir.Record()
	if err != nil {
		t.Fatal(err)
	}
	c.network = record.Network
	// What `make test` hands down would be the settings of another cluster.
	c.env = append(os.Environ(), "KUBECONFIG="+dir.Kubeconfig(), "PATH="+dir.Bin("")+":"+os.Getenv("PATH"),
		"CLUSTER=", "CLUSTER_DIR=", "REGISTRY=", "VERSION=", "MAKEFLAGS=")
	return c
}

func (c *bare) run(t *testing.T, dir string, program ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program[0], program[1:]...)
	cmd.Dir, cmd.Env = dir, c.env
	return mustRun(t, cmd)
}

func (c *bare) runAll(t *testing.T, commands []string) {
	t.Helper()
	for _, command := range commands {
		t.Log(command)
		c.run(t, c.source, "sh", "-c", command)
	}
}

// keepDist puts back what was rendered for somebody's own registry.
func keepDist(t *testing.T, source string) {
	t.Helper()
	dist, kept := filepath.Join(source, "dist"), t.TempDir()
	copied := os.CopyFS(kept, os.DirFS(dist))
	if copied != nil && !os.IsNotExist(copied) {
		t.Fatal(copied)
	}
	t.Cleanup(func() {
		_ = os.RemoveAll(dist)
		if copied == nil {
			if err := os.CopyFS(dist, os.DirFS(kept)); err != nil {
				t.Error(err)
			}
		}
	})
}

// localRegistry is reached by this machine and the node only.
type localRegistry struct {
	// name is the prefix of references.
	name string
	// pulled counts the files that the node has taken.
	pulled atomic.Int64
}

// serveRegistry serves one at the machine's end of the link to the node. Its certificate is that of an authority of its own,
// as in many companies: the machine trusts it by the environment, and the node by its configuration.
func (c *bare) serveRegistry(t *testing.T) *localRegistry {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(c.network.Host().Addr().String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	r := &localRegistry{name: address + "/team"}
	files := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(t.TempDir())), registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		from, _, _ := net.SplitHostPort(req.RemoteAddr) // what net/http wrote
		if from == c.network.Node().Addr().String() && req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/sandkeep/blobs/") {
			r.pulled.Add(1)
		}
		files.ServeHTTP(rw, req)
	}))
	authority, err := pki.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server.Listener, server.TLS = listener, &tls.Config{Certificates: []tls.Certificate{c.certificate(t, authority)}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	byNode, byMachine := filepath.Join(c.dir, "cluster", "config", "certs.d", address), filepath.Join(c.dir, "authorities")
	for _, folder := range []string{byNode, byMachine} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "ca.crt"), authority.Cert, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.env = append(c.env, "SSL_CERT_DIR="+byMachine) // beside the file of the machine's authorities
	return r
}

func (c *bare) certificate(t *testing.T, authority *pki.Authority) tls.Certificate {
	t.Helper()
	pair, err := authority.Server("registry", nil, c.network.Host().Addr())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// expectPulled wants the manager's pods to run the image of the registry, and the registry to have handed it to the node.
func (c *bare) expectPulled(t *testing.T, r *localRegistry) {
	t.Helper()
	images := strings.Fields(c.run(t, c.dir, "kubectl", "--namespace=sandkeep-system", "get", "pods",
		"--selector=app.kubernetes.io/component=manager", "--output=jsonpath={.items[*].status.containerStatuses[*].imageID}"))
	if len(images) == 0 {
		t.Error("no manager runs")
	}
	for _, image := range images {
		if !strings.HasPrefix(image, r.name+"/sandkeep@sha256:") {
			t.Errorf("a manager runs %s, want an image of %s", image, r.name)
		}
	}
	if r.pulled.Load() == 0 {
		t.Error("the node has taken nothing from the registry")
	}
	t.Logf("the node took %d files; the manager runs %s", r.pulled.Load(), images)
}

// unfit are the beginnings of what cannot be done here: this is the clone, and no provider answers the Session.
var unfit = []string{"git clone ", "kubectl -n team-a wait ", "kubectl -n team-a logs "}

// documented returns the commands in the first block after a text of the quick start, for our registry and with a key.
func documented(t *testing.T, c *bare, r *localRegistry, after string) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(c.source, "docs", "quick-start.md"))
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(c.dir, "key.txt")
	if err := os.WriteFile(key, []byte("sk-ant-none"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), after)
	_, rest, _ = strings.Cut(rest, "```\n")
	block, _, _ := strings.Cut(rest, "```")
	lines := strings.Split(strings.TrimSpace(strings.NewReplacer("registry.example.com/sandkeep", r.name, "./key.txt", key).Replace(block)), "\n")
	commands := slices.DeleteFunc(lines, func(line string) bool {
		return slices.ContainsFunc(unfit, func(beginning string) bool { return strings.HasPrefix(line, beginning) })
	})
	if len(commands) < 2 {
		t.Fatalf("the quick start has no commands after %q", after)
	}
	return commands
}
