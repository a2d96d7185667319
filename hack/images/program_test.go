package main

import (
	"bytes"
	"context"
	"debug/elf"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClusterPrograms(t *testing.T) {
	cmd := filepath.Join(t.TempDir(), "cmd")
	for _, path := range []string{
		"sandboxd/main.go", "manager/main.go", "kubectl-sandkeep/main.go", "notes/README.md", "manager/testdata/main.go",
	} {
		writeTestFile(t, filepath.Join(cmd, path), "")
	}
	got, err := clusterPrograms(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"./cmd/manager", "./cmd/sandboxd"}, got); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
}

func TestNoClusterPrograms(t *testing.T) {
	_, err := clusterPrograms(t.TempDir())
	wantError(t, err, "cmd/<name>/main.go")
}

// module makes a checkout with one program that prints its version and a text.
func module(t *testing.T, text string) *builder {
	t.Helper()
	t.Setenv("GOFLAGS", "")
	b, _ := newBuilder(t)
	writeTestFile(t, filepath.Join(b.root, "go.mod"), "module example.com/m\n\ngo 1.26\n")
	writeMain(t, b, text)
	return b
}

func writeMain(t *testing.T, b *builder, text string) {
	t.Helper()
	writeTestFile(t, filepath.Join(b.root, "cmd", "tool", "main.go"),
		"package main\n\nvar version = \"unset\"\n\nfunc main() { print(version, \" "+text+"\") }\n")
}

func TestCompiledProgram(t *testing.T) {
	b := module(t, "hello")
	b.version = "v0.1.0"
	r, err := operatorRecipe(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	binary := b.cache("bin", "sandkeep", "tool")
	said, err := exec.Command(binary).CombinedOutput()
	if err != nil || string(said) != "v0.1.0 hello" {
		t.Errorf("the program said %q, %v", said, err)
	}
	assertStaticAndStripped(t, binary)
	var layer bytes.Buffer
	if err := r.write(t.Context(), &layer); err != nil {
		t.Fatal(err)
	}
	entries := unpackTar(t, &layer)
	if len(entries) != 1 || entries[0].Name != "tool" || entries[0].Mode != 0o755 || entries[0].text != readTestFile(t, binary) {
		t.Errorf("the layer holds %v, want /tool", entryNames(entries))
	}
}

func assertStaticAndStripped(t *testing.T, binary string) {
	t.Helper()
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP {
			t.Error("the program needs a dynamic loader")
		}
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
		t.Error("the program is not stripped")
	}
}

func TestProgramLayerFollowsTheSource(t *testing.T) {
	b := module(t, "one")
	key := func() string {
		r, err := programRecipe("tool", "./cmd/tool", "/usr/local/bin/")(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		return r.key
	}
	first, again := key(), key()
	if first != again {
		t.Error("the same source makes another layer")
	}
	writeMain(t, b, "two")
	if key() == first {
		t.Error("another source makes the same layer")
	}
}

func TestProgramThatDoesNotCompile(t *testing.T) {
	b := module(t, `" + undefined + "`)
	_, err := operatorRecipe(t.Context(), b)
	wantError(t, err, "compile ./cmd/tool", "undefined: undefined")
}

func TestTrustComesFromTheDebianLayer(t *testing.T) {
	b, _ := newBuilder(t)
	certificates := tarEntry{text: "-----BEGIN CERTIFICATE-----"}
	certificates.Name = certificatesPath
	base, err := debianRecipe(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	root := packTar(t, certificates).Bytes()
	base.write = func(_ context.Context, w io.Writer) error { _, err := w.Write(root); return err }
	if _, err := b.layer(t.Context(), base); err != nil {
		t.Fatal(err)
	}
	r, err := trustRecipe(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	if err := r.write(t.Context(), &layer); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range unpackTar(t, &layer) {
		if !strings.HasSuffix(e.Name, "/") {
			got[e.Name] = e.text
		}
	}
	want := map[string]string{
		"etc/ssl/certs/ca-certificates.crt": "-----BEGIN CERTIFICATE-----",
		"etc/passwd":                        "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532::/:/sbin/nologin\n",
		"etc/group":                         "root:x:0:\nnonroot:x:65532:\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
}
