package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// serve runs a registry on loopback behind a check of every request, and makes the builder push to it.
func serve(t *testing.T, b *builder, check func(http.ResponseWriter, *http.Request) bool) (uploads *int) {
	t.Helper()
	uploads = new(int)
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			*uploads++
		}
		if check(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	b.registry = strings.TrimPrefix(server.URL, "http://") + "/team"
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	return uploads
}

func everybody(http.ResponseWriter, *http.Request) bool { return true }

func TestPush(t *testing.T) {
	b, said := newBuilder(t)
	uploads := serve(t, b, everybody)
	chosen := []definition{textImage("notes", "one")}
	if err := b.pushAll(t.Context(), chosen); err != nil {
		t.Fatal(err)
	}
	made := buildText(t, b, "notes", "one")
	tag, err := name.NewTag(made.Reference)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	if digest, err := img.ConfigName(); err != nil || digest.String() != made.Digest {
		t.Errorf("the registry holds %s, %v; want %s", digest, err, made.Digest)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("layers = %v, %v", layers, err)
	}
	if kind, err := layers[0].MediaType(); err != nil || kind != types.DockerLayer {
		t.Errorf("the layer travels as %s, %v; want gzip, which every registry takes", kind, err)
	}
	before := *uploads
	if err := b.pushAll(t.Context(), chosen); err != nil {
		t.Fatal(err)
	}
	if *uploads != before || !strings.Contains(said.String(), "is in the registry") {
		t.Errorf("the same image was pushed twice; said:\n%s", said)
	}
}

func TestPushNeverReplacesAVersion(t *testing.T) {
	b, _ := newBuilder(t)
	uploads := serve(t, b, everybody)
	b.version = "v0.1.0"
	if err := b.pushAll(t.Context(), []definition{textImage("notes", "one")}); err != nil {
		t.Fatal(err)
	}
	before := *uploads
	err := b.pushAll(t.Context(), []definition{textImage("notes", "two")})
	wantError(t, err, "another image", b.registry+"/notes:v0.1.0", "choose another VERSION")
	if *uploads != before {
		t.Error("something was uploaded nevertheless")
	}
}

func TestPushWithTheCredentialsOfDocker(t *testing.T) {
	b, _ := newBuilder(t)
	serve(t, b, func(w http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		if user == "dev" && password == "secret" {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return false
	})
	chosen := []definition{textImage("notes", "one")}
	host, _, _ := strings.Cut(b.registry, "/")
	wantError(t, b.pushAll(t.Context(), chosen), "docker login "+host, "REGISTRY")
	config := `{"auths":{"` + host + `":{"username":"dev","password":"secret"}}}`
	writeTestFile(t, filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), config)
	if err := b.pushAll(t.Context(), chosen); err != nil {
		t.Errorf("with credentials: %v", err)
	}
}

func TestPushToARegistryThatIsReadOnly(t *testing.T) {
	b, _ := newBuilder(t)
	serve(t, b, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return true
		}
		w.WriteHeader(http.StatusForbidden)
		return false
	})
	err := b.pushAll(t.Context(), []definition{textImage("notes", "one")})
	wantError(t, err, "push "+b.registry+"/notes:dev-", "docker login", "one that you may push to")
}

func TestPushRefusesProprietaryImages(t *testing.T) {
	b, said := newBuilder(t)
	err := b.push(t.Context(), []string{"opencode", "claude-code"})
	wantError(t, err, "claude-code is never pushed")
	if said.Len() != 0 {
		t.Errorf("something was built first:\n%s", said)
	}
}
