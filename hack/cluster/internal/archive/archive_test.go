package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	contents := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return contents
		}
		if err != nil {
			t.Fatal(err)
		}
		if contents[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProgram(t *testing.T) {
	var first, second bytes.Buffer
	for _, w := range []io.Writer{&first, &second} {
		if err := Program(w, "cluster.local/pause:1", "pause", []byte("ELF")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same program makes two different images")
	}
	contents := unpack(t, first.Bytes())
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(contents["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"cluster.local/pause:1"}, manifest[0].RepoTags); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	layer := contents[manifest[0].Layers[0]]
	if diff := cmp.Diff(map[string][]byte{"pause": []byte("ELF")}, unpack(t, layer)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	checkConfig(t, contents[manifest[0].Config], layer)
}

func checkConfig(t *testing.T, config, layer []byte) {
	t.Helper()
	var image struct {
		OS, Architecture string
		Config           struct {
			Entrypoint []string
			User       string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(config, &image); err != nil {
		t.Fatal(err)
	}
	if image.OS == "" || image.Architecture == "" {
		t.Error("the image names no platform, so containerd would ignore it")
	}
	if image.Config.User == "" {
		t.Error("the image runs as root")
	}
	if diff := cmp.Diff([]string{"/pause"}, image.Config.Entrypoint); diff != "" {
		t.Errorf("entrypoint (-want +got):\n%s", diff)
	}
	want := []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}
	if diff := cmp.Diff(want, image.RootFS.DiffIDs); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
}
