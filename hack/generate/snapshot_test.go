package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckNamesWhatIsStaleAndPutsItBack(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "config/crd/bases/same.yaml", "same")
	write(t, "config/crd/bases/stale.yaml", "old")
	write(t, "config/rbac/role.yaml", "old role")
	write(t, "config/rbac/keeper_role.yaml", "old role")
	write(t, "config/rbac/written_by_people.yaml", "binding")
	before := read(t)

	write(t, "config/crd/bases/stale.yaml", "current")
	write(t, "config/crd/bases/new.yaml", "new")
	write(t, "config/rbac/keeper_role.yaml", "role")
	write(t, "config/rbac/written_by_people.yaml", "another binding")
	if err := os.Remove("config/rbac/role.yaml"); err != nil {
		t.Fatal(err)
	}
	after := read(t)

	want := []string{"config/crd/bases/new.yaml", "config/crd/bases/stale.yaml", "config/rbac/keeper_role.yaml", "config/rbac/role.yaml"}
	if diff := cmp.Diff(want, before.changed(after)); diff != "" {
		t.Errorf("stale files (-want +got):\n%s", diff)
	}
	if err := before.compare(after); err == nil {
		t.Error("a stale file is no error")
	}
	if err := before.restore(after); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, read(t)); diff != "" {
		t.Errorf("files after they were put back (-want +got):\n%s", diff)
	}
}

func TestCheckAcceptsWhatIsCurrent(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "api/v1alpha1/zz_generated.deepcopy.go", "package v1alpha1")
	write(t, "api/v1alpha1/types.go", "package v1alpha1")
	before := read(t)
	write(t, "api/v1alpha1/types.go", "package v1alpha1 // changed by a person")
	if err := before.compare(read(t)); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T) snapshot {
	t.Helper()
	s, err := readGenerated()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
