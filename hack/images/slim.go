package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
)

// unwanted matches the paths that are left out of the Debian layer.
var unwanted = regexp.MustCompile(strings.Join([]string{
	`^(dev|proc|run|sys|tmp)/`,                               // the runtime mounts its own
	`^usr/share/(locale|man|info|lintian|gitweb)/`,           // read by nobody in a sandbox
	`^var/(log|lib/apt/lists|cache/(apt|ldconfig|adduser))/`, // apt makes these again
	`(^|/)__pycache__(/|$)`,                                  // holds the times of files, which change here
	`^var/(lib/dpkg|cache/debconf)/[^/]+-old$`,               // backups
	`^etc/(passwd|group|shadow|gshadow|subuid|subgid)-$`,     // backups
	`^etc/(hostname|resolv\.conf|machine-id|\.pwd\.lock)$`,   // of the machine that built the image
	`^etc/apt/apt\.conf\.d/99mmdebstrap$`,                    // the network settings of that machine
}, "|"))

// documentation matches what a package puts in its documentation folder; only the copyright file must stay.
var documentation = regexp.MustCompile(`^usr/share/doc/[^/]+/(.*)$`)

// edits change files on their way into the layer. Every one of them must be there.
var edits = map[string]func(string) string{
	"etc/passwd":           appended("%[1]s:x:%[2]d:%[2]d::%[3]s:/bin/bash\n", agentName, agentID, agentHome),
	"etc/shadow":           appended("%s:!:0:0:99999:7:::\n", agentName),
	"etc/group":            appended("%s:x:%d:\n", agentName, agentID),
	"etc/gshadow":          appended("%s:!::\n", agentName),
	"etc/apt/sources.list": func(string) string { return strings.Join(defaultSources, "\n") + "\n" },
}

func appended(format string, args ...any) func(string) string {
	return func(text string) string { return text + fmt.Sprintf(format, args...) }
}

// slim copies a root filesystem from r to w as a reproducible layer: without what a sandbox does not read and without
// traces of the machine that built it, with the agents' user and folders, no set-uid programs and one time for all files.
func slim(r io.Reader, w io.Writer) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	left := map[string]bool{}
	edited := 0
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the root filesystem: %w", err)
		}
		name := plainName(h.Name)
		if !wanted(name, h.Typeflag) {
			left[name] = true
			continue
		}
		if h.Typeflag == tar.TypeLink && left[plainName(h.Linkname)] {
			return fmt.Errorf("%s is a hard link to %s, which is left out", name, h.Linkname)
		}
		if _, ok := edits[name]; ok {
			edited++
		}
		if err := copyEntry(out, name, h, in); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	if edited != len(edits) {
		return fmt.Errorf("the root filesystem has %d of the %d files to edit", edited, len(edits))
	}
	return errors.Join(addFolders(out), out.Close())
}

// addFolders makes the folders of the agents' user.
func addFolders(out *tar.Writer) error {
	home := folderHeader(plainName(agentHome), 0o755, agentID)
	workspace := folderHeader(plainName(workspacePath), 0o755, agentID)
	return errors.Join(out.WriteHeader(home), out.WriteHeader(workspace))
}

// plainName turns "./usr/bin/" into "usr/bin".
func plainName(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

func wanted(name string, kind byte) bool {
	if name == "" || kind == tar.TypeChar || kind == tar.TypeBlock || kind == tar.TypeFifo || unwanted.MatchString(name) {
		return false
	}
	inside := documentation.FindStringSubmatch(name)
	return inside == nil || inside[1] == "copyright"
}

// copyEntry copies one entry with what a layer needs of its header.
func copyEntry(out *tar.Writer, name string, h *tar.Header, content io.Reader) error {
	const setID = 0o6000
	c := &tar.Header{
		Typeflag: h.Typeflag, Name: name, Linkname: h.Linkname, Mode: h.Mode &^ setID, Size: h.Size,
		Uid: h.Uid, Gid: h.Gid, ModTime: epoch,
	}
	switch h.Typeflag {
	case tar.TypeDir:
		c.Name += "/"
	case tar.TypeLink:
		c.Linkname = plainName(h.Linkname)
	}
	if edit, ok := edits[name]; ok {
		text, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		changed := edit(string(text))
		c.Size, content = int64(len(changed)), strings.NewReader(changed)
	}
	if err := out.WriteHeader(c); err != nil {
		return err
	}
	_, err := io.Copy(out, content)
	return err
}
