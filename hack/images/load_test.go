package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeCluster answers for `go run ./hack/cluster load` and writes down the archives, one call a line.
func fakeCluster(t *testing.T, ending string) (asked string) {
	t.Helper()
	asked = filepath.Join(t.TempDir(), "asked")
	fakePrograms(t, map[string]string{"go": `echo "$*" >> ` + asked + "\n" + ending})
	return asked
}

func TestLoadImportsWhatTheClusterLacks(t *testing.T) {
	b, said := newBuilder(t)
	asked := fakeCluster(t, "exit 0")
	writeTestFile(t, filepath.Join(b.cluster, "containerd", "anything"), "")
	notes, other := textImage("notes", "one"), textImage("other", "two")
	for _, chosen := range [][]definition{
		{notes},                      // new
		{notes},                      // held
		{notes, other},               // one of two is new
		{textImage("notes", "more")}, // changed
		{notes},                      // the former content is still there
	} {
		if err := b.loadAll(t.Context(), chosen); err != nil {
			t.Fatal(err)
		}
	}
	want := "run ./hack/cluster load .cache/images/notes.tar\n" +
		"run ./hack/cluster load .cache/images/other.tar\n" +
		"run ./hack/cluster load .cache/images/notes.tar\n"
	if diff := cmp.Diff(want, readTestFile(t, asked)); diff != "" {
		t.Errorf("the cluster was asked (-want +got):\n%s", diff)
	}
	if !strings.Contains(said.String(), "the cluster holds notes") {
		t.Errorf("said:\n%s", said)
	}
}

func TestLoadForgetsWithTheCluster(t *testing.T) {
	b, _ := newBuilder(t)
	asked := fakeCluster(t, "exit 0")
	for range 2 { // there is no folder of containerd that the list could be kept in
		if err := b.loadAll(t.Context(), []definition{textImage("notes", "one")}); err != nil {
			t.Fatal(err)
		}
	}
	if calls := strings.Count(readTestFile(t, asked), "\n"); calls != 2 {
		t.Errorf("loaded %d times, want 2", calls)
	}
	if exists(b.cluster) {
		t.Error("the folder of the cluster was made")
	}
}

func TestLoadThatFailsIsNotRemembered(t *testing.T) {
	b, said := newBuilder(t)
	fakeCluster(t, "echo cluster: not up; exit 1")
	writeTestFile(t, filepath.Join(b.cluster, "containerd", "anything"), "")
	err := b.loadAll(t.Context(), []definition{textImage("notes", "one")})
	wantError(t, err, "make up")
	if !strings.Contains(said.String(), "cluster: not up") {
		t.Errorf("the cluster's own words are lost:\n%s", said)
	}
	if held, err := b.held(); err != nil || len(held) != 0 {
		t.Errorf("held = %v, %v; want nothing", held, err)
	}
}

func TestLoadWithADamagedList(t *testing.T) {
	b, _ := newBuilder(t)
	fakeCluster(t, "exit 0")
	writeTestFile(t, b.heldPath(), "{")
	wantError(t, b.loadAll(t.Context(), []definition{textImage("notes", "one")}), "delete it to load the images again")
}

func TestLoadIntoSomebodyElsesCluster(t *testing.T) {
	b, _ := newBuilder(t)
	b.cluster = ""
	wantError(t, b.load(t.Context(), nil), "CLUSTER=existing", "push them to a registry")
}
