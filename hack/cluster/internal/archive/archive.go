// Package archive writes the simplest container image: one static program.
package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"runtime"
)

// Program writes a docker archive of an image that holds one executable at the root of an otherwise empty file system.
func Program(w io.Writer, image, name string, executable []byte) error {
	layer, err := tarball(file{name, 0o755, executable})
	if err != nil {
		return err
	}
	config, err := imageConfig(path.Join("/", name), layer)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": []string{image}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return err
	}
	archive, err := tarball(file{"layer.tar", 0o644, layer}, file{"config.json", 0o644, config},
		file{"manifest.json", 0o644, manifest})
	if err != nil {
		return err
	}
	_, err = w.Write(archive)
	return err
}

// imageConfig names the platform, because containerd ignores images that do not.
func imageConfig(entrypoint string, layer []byte) ([]byte, error) {
	return json.Marshal(map[string]any{
		"os":           "linux",
		"architecture": runtime.GOARCH,
		"config":       map[string]any{"Entrypoint": []string{entrypoint}, "User": "65535:65535"},
		"rootfs": map[string]any{
			"type":     "layers",
			"diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))},
		},
	})
}

type file struct {
	name    string
	mode    int64
	content []byte
}

// tarball carries no times and no owners: the same files make the same image.
func tarball(files ...file) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}
