package main

import (
	"archive/tar"
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// systemFiles are the files that slim has to find.
func systemFiles() []tarEntry {
	return []tarEntry{
		{tar.Header{Name: "./etc/apt/sources.list", Mode: 0o644}, "deb http://mirror.example.com/debian bookworm main\n"},
		{tar.Header{Name: "./etc/group", Mode: 0o644}, "root:x:0:\n"},
		{tar.Header{Name: "./etc/gshadow", Mode: 0o640, Gid: 42}, "root:*::\n"},
		{tar.Header{Name: "./etc/passwd", Mode: 0o644}, "root:x:0:0:root:/root:/bin/bash\n"},
		{tar.Header{Name: "./etc/shadow", Mode: 0o640, Gid: 42}, "root:*:1:0:99999:7:::\n"},
	}
}

func slimmed(t *testing.T, entries ...tarEntry) map[string]tarEntry {
	t.Helper()
	var layer bytes.Buffer
	if err := slim(packTar(t, append(systemFiles(), entries...)...), &layer); err != nil {
		t.Fatal(err)
	}
	byName := map[string]tarEntry{}
	for _, e := range unpackTar(t, &layer) {
		byName[e.Name] = e
	}
	return byName
}

func TestSlimLeavesOut(t *testing.T) {
	for name, gone := range map[string]string{
		"translations":                    "./usr/share/locale/de/LC_MESSAGES/git.mo",
		"manual pages":                    "./usr/share/man/man1/git.1.gz",
		"documentation":                   "./usr/share/doc/git/contrib/README",
		"change logs":                     "./usr/share/doc/git/changelog.gz",
		"compiled Python":                 "./usr/lib/python3.11/__pycache__/json.cpython-311.pyc",
		"package lists":                   "./var/lib/apt/lists/mirror.example.com_debian_InRelease",
		"packages":                        "./var/cache/apt/archives/git_1_amd64.deb",
		"logs":                            "./var/log/dpkg.log",
		"a cache that holds times":        "./var/cache/ldconfig/aux-cache",
		"backups of dpkg":                 "./var/lib/dpkg/status-old",
		"backups of users":                "./etc/passwd-",
		"the name of the machine":         "./etc/hostname",
		"the name servers of the machine": "./etc/resolv.conf",
		"the identity of the machine":     "./etc/machine-id",
		"the proxy of the machine":        "./etc/apt/apt.conf.d/99mmdebstrap",
		"what the runtime mounts":         "./dev/shm/x",
	} {
		t.Run(name, func(t *testing.T) {
			got := slimmed(t, tarEntry{tar.Header{Name: gone, Mode: 0o644}, "x"})
			if _, ok := got[plainName(gone)]; ok {
				t.Errorf("%s is in the layer", gone)
			}
			if len(got) != len(systemFiles())+2 {
				t.Errorf("the layer holds %d entries, want the files of the system and two folders", len(got))
			}
		})
	}
}

func TestSlimKeeps(t *testing.T) {
	for name, kept := range map[string]string{
		"a program":               "./usr/bin/git",
		"a certificate":           "./etc/ssl/certs/ca-certificates.crt",
		"a licence":               "./usr/share/doc/git/copyright",
		"what dpkg knows":         "./var/lib/dpkg/status",
		"the database of debconf": "./var/cache/debconf/config.dat",
		"a library of perl":       "./usr/share/perl/5.36/strict.pm",
		"a name like a folder":    "./usr/share/manual",
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := slimmed(t, tarEntry{tar.Header{Name: kept, Mode: 0o644}, "text of it"})[plainName(kept)]
			if !ok || got.text != "text of it" {
				t.Errorf("%s = %q, %v", kept, got.text, ok)
			}
		})
	}
}

func TestSlimLeavesOutDevices(t *testing.T) {
	got := slimmed(t,
		tarEntry{Header: tar.Header{Name: "./null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}},
		tarEntry{Header: tar.Header{Name: "./disk", Typeflag: tar.TypeBlock, Mode: 0o660}},
		tarEntry{Header: tar.Header{Name: "./pipe", Typeflag: tar.TypeFifo, Mode: 0o660}},
	)
	for _, name := range []string{"null", "disk", "pipe"} {
		if _, ok := got[name]; ok {
			t.Errorf("%s is in the layer", name)
		}
	}
}

func TestSlimNormalisesHeaders(t *testing.T) {
	got := slimmed(t,
		tarEntry{Header: tar.Header{
			Name: "./tmp/", Typeflag: tar.TypeDir, Mode: 0o1777, Uname: "root", ModTime: time.Unix(1, 0),
		}},
		tarEntry{tar.Header{Name: "./usr/bin/passwd", Mode: 0o4755, Uname: "root", ModTime: time.Unix(2, 0)}, "passwd"},
		tarEntry{tar.Header{Name: "./usr/sbin/unix_chkpwd", Mode: 0o2755, Gid: 42, Gname: "shadow"}, "check"},
		tarEntry{Header: tar.Header{Name: "./usr/bin/p2", Typeflag: tar.TypeLink, Linkname: "./usr/bin/passwd"}},
		tarEntry{Header: tar.Header{Name: "./bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin", Mode: 0o777}},
	)
	type header struct {
		Mode     int64
		Gid      int
		Linkname string
	}
	want := map[string]header{
		"tmp/":                 {Mode: 0o1777},
		"usr/bin/passwd":       {Mode: 0o755},
		"usr/sbin/unix_chkpwd": {Mode: 0o755, Gid: 42},
		"usr/bin/p2":           {Linkname: "usr/bin/passwd"},
		"bin":                  {Mode: 0o777, Linkname: "usr/bin"},
	}
	for name, w := range want {
		g := got[name]
		if diff := cmp.Diff(w, header{g.Mode, g.Gid, g.Linkname}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !g.ModTime.Equal(epoch) || g.Uname != "" || g.Gname != "" {
			t.Errorf("%s is of %s:%s and from %s", name, g.Uname, g.Gname, g.ModTime)
		}
	}
}

func TestSlimAddsTheAgentsUser(t *testing.T) {
	got := slimmed(t)
	for name, want := range map[string]string{
		"etc/passwd":  "root:x:0:0:root:/root:/bin/bash\nagent:x:10001:10001::/home/agent:/bin/bash\n",
		"etc/group":   "root:x:0:\nagent:x:10001:\n",
		"etc/shadow":  "root:*:1:0:99999:7:::\nagent:!:0:0:99999:7:::\n",
		"etc/gshadow": "root:*::\nagent:!::\n",
	} {
		if diff := cmp.Diff(want, got[name].text); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, folder := range []string{"home/agent/", "workspace/"} {
		if e, ok := got[folder]; !ok || e.Uid != 10001 || e.Gid != 10001 || e.Mode != 0o755 {
			t.Errorf("%s = %+v, want a folder of the agent", folder, e.Header)
		}
	}
}

func TestSlimDoesNotNameTheMirrorOfTheMachine(t *testing.T) {
	want := "deb http://deb.debian.org/debian bookworm main\n" +
		"deb http://deb.debian.org/debian bookworm-updates main\n" +
		"deb http://deb.debian.org/debian-security bookworm-security main\n"
	if diff := cmp.Diff(want, slimmed(t)["etc/apt/sources.list"].text); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestSlimRefusesWhatItCannotKeepWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		root io.Reader
		want string
	}{
		"a link to a file that is left out": {
			packTar(t, append(systemFiles(),
				tarEntry{tar.Header{Name: "./usr/share/man/man1/a.1"}, "a"},
				tarEntry{Header: tar.Header{Name: "./usr/bin/a", Typeflag: tar.TypeLink, Linkname: "./usr/share/man/man1/a.1"}})...),
			"usr/bin/a is a hard link",
		},
		"no users": {
			packTar(t, systemFiles()[:2]...), "2 of the 5 files to edit",
		},
		"nothing at all": {
			&bytes.Buffer{}, "0 of the 5 files to edit",
		},
		"half an archive": {
			bytes.NewReader(packTar(t, systemFiles()...).Bytes()[:1200]), "read the root filesystem",
		},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, slim(tc.root, io.Discard), tc.want) })
	}
}
