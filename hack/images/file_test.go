package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWriteFiles(t *testing.T) {
	var layer bytes.Buffer
	err := writeFiles(&layer, []file{
		{path: "/usr/local/bin/tool", mode: 0o755, open: fromText("#!tool")},
		{path: "/etc/passwd", mode: 0o644, open: fromText("root")},
		{path: "/usr/local/bin/again", mode: 0o755, open: fromText("")},
	})
	if err != nil {
		t.Fatal(err)
	}
	type entry struct {
		Name string
		Mode int64
		Text string
	}
	entries := unpackTar(t, &layer)
	got := make([]entry, 0, len(entries))
	for _, e := range entries {
		if !e.ModTime.Equal(epoch) || e.Uid != 0 || e.Gid != 0 {
			t.Errorf("%s is from %s and of %d:%d", e.Name, e.ModTime, e.Uid, e.Gid)
		}
		got = append(got, entry{e.Name, e.Mode, e.text})
	}
	want := []entry{
		{"etc/", 0o755, ""},
		{"etc/passwd", 0o644, "root"},
		{"usr/", 0o755, ""},
		{"usr/local/", 0o755, ""},
		{"usr/local/bin/", 0o755, ""},
		{"usr/local/bin/again", 0o755, ""},
		{"usr/local/bin/tool", 0o755, "#!tool"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
}

func TestWriteFilesFromDisk(t *testing.T) {
	source := filepath.Join(t.TempDir(), "program")
	writeTestFile(t, source, "binary")
	var layer bytes.Buffer
	if err := writeFiles(&layer, []file{{path: "/program", mode: 0o755, open: fromDisk(source)}}); err != nil {
		t.Fatal(err)
	}
	entries := unpackTar(t, &layer)
	if len(entries) != 1 || entries[0].Typeflag != tar.TypeReg || entries[0].text != "binary" {
		t.Errorf("layer = %+v", entries)
	}
}

func TestWriteFilesNamesWhatIsMissing(t *testing.T) {
	err := writeFiles(&bytes.Buffer{}, []file{{path: "/program", open: fromDisk(filepath.Join(t.TempDir(), "gone"))}})
	wantError(t, err, "add /program")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v does not wrap the cause", err)
	}
}
