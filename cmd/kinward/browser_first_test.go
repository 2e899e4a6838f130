package main

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kinward/console"
)

// onTerminal runs kinward where a person sees what it prints, and returns that: all
// of it, or up to a text, with which the program is ended.
func onTerminal(t *testing.T, until string, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	must(t, err)
	defer master.Close()
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "KINWARD_JOURNAL_MEMORY="+memoryFolder)
	cmd.Stdout = terminal
	var errs logBuffer
	cmd.Stderr = &errs
	must(t, cmd.Start())
	terminal.Close()
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	if err := master.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for b := make([]byte, 4096); until == "" || !strings.Contains(said.String(), until); {
		n, err := master.Read(b)
		said.Write(b[:n])
		if until == "" && errors.Is(err, unix.EIO) { // nobody writes there any more
			break
		}
		if err != nil {
			t.Fatalf("kinward %s never prints %q: %v\n%s%s", strings.Join(args, " "), until, err, said.String(), errs.String())
		}
	}
	return strings.ReplaceAll(said.String(), "\r\n", "\n")
}

// terminalCode draws the code that stands in what a terminal was told, as a camera
// sees it: half blocks, black on white.
func terminalCode(t *testing.T, said string) string {
	t.Helper()
	const begin, end = "\x1b[38;2;0;0;0;48;2;255;255;255m", "\x1b[0m"
	var rows [][]rune
	for line := range strings.SplitSeq(said, "\n") {
		if row, ok := strings.CutPrefix(line, begin); ok {
			rows = append(rows, []rune(strings.TrimSuffix(row, end)))
		}
	}
	if len(rows) == 0 {
		t.Fatalf("there is no code in\n%s", said)
	}
	const dot = 4 // pixels a module
	img := image.NewGray(image.Rect(0, 0, len(rows[0])*dot, len(rows)*2*dot))
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			r := rows[y/dot/2][x/dot]
			if dark := r == '█' || r == '▀' && y/dot%2 == 0 || r == '▄' && y/dot%2 == 1; !dark {
				img.SetGray(x, y, color.Gray{255})
			}
		}
	}
	file := filepath.Join(t.TempDir(), "terminal.png")
	f, err := os.Create(file)
	must(t, err)
	must(t, png.Encode(f, img))
	must(t, f.Close())
	return scanned(t, file)
}

// scanned is what a scanner that is not ours reads in a picture.
func scanned(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("zbarimg", "--quiet", "--raw", file).Output()
	if err != nil {
		t.Fatalf("zbarimg (Debian: zbar-tools) reads nothing: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// The first minutes at home, without a certificate: the terminal shows a code, the
// phone that scans it comes to the link, and is told what plain HTTP is worth. The
// page after that shows a code for the next phone.
func TestBrowserFirstRun(t *testing.T) {
	port := freePort(t)
	base := fmt.Sprintf("http://kinward.home.arpa:%d", port)
	config := writeConfig(t, "console-url: "+base+"\n")
	h := startHome(t, startUpstream(t), "--config", config, "--console", fmt.Sprintf("127.0.0.1:%d", port))
	wantAll(t, "the banner", h.banner, base+"/start/", "Phones at home reach it there with a password", "plain HTTP: whoever listens in the same network can\nread along")
	wantNone(t, "the banner, to a file", h.banner, "\x1b", "█")

	said := onTerminal(t, "", "console", "link", "--data", h.data)
	link := terminalCode(t, said)
	if !strings.HasPrefix(link, base+"/start/") || !strings.Contains(said, "\n  "+link+"\n") {
		t.Fatalf("the code says %q, the text\n%s", link, said)
	}
	b := openChrome(t, base)
	b.expect(`Cross-Origin-Opener-Policy header has been ignored`)
	b.as(phone, "light")
	b.open(link)
	b.sees("read along") // who types a password learns first what it is worth
	b.fits("the link of the first run")
	b.accessible("the link of the first run, over plain HTTP")
	b.fill("What does the family call you?", "Eva")
	b.fill("Name or e-mail address to sign in with", "eva")
	b.fill("Password", goodPassword)
	b.fill("Password, once more", goodPassword)
	b.click("Make my account")
	b.sees("Welcome", base)
	b.seesNot("passkey")
	b.accessible("the welcome over plain HTTP")
	shot := filepath.Join(t.TempDir(), "welcome.png")
	must(t, os.WriteFile(shot, b.picture(phone, "light", 4000), 0o600))
	if got := scanned(t, shot); got != base {
		t.Errorf("the page's code says %q, want %s", got, base)
	}
}

// Under a public name the code of the first start leads to https.
func TestProgramFirstRunSecure(t *testing.T) {
	cert, key := certificateFiles(t, "dns.example")
	port := freePort(t)
	u := startUpstream(t)
	said := onTerminal(t, "Phones reach it there, encrypted, at home and away.", "serve", "--data", t.TempDir(), "--dns", "127.0.0.1:0", "--metrics", "", "--upstream", "udp://"+u.addr,
		"--console", fmt.Sprintf("0.0.0.0:%d", port), "--config", writeConfig(t, fmt.Sprintf("tls: {name: dns.example, certificate: %s, key: %s}\n", cert, key)))
	link := terminalCode(t, said)
	if !strings.HasPrefix(link, fmt.Sprintf("https://dns.example:%d/start/", port)) || !strings.Contains(said, "\n  "+link+"\n") {
		t.Errorf("the code says %q, the text\n%s", link, said)
	}
	wantNone(t, "the banner", said, "plain HTTP")
}

// What is said of how phones come to the console is what is so.
func TestReachText(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reach console.Reach
		want  []string
		not   string
	}{
		{"this machine alone", console.Reach{Home: "192.168.1.10:8053"}, []string{"this machine alone", "--console 192.168.1.10:8053", "plain HTTP with a password", "read along", "tls: name"}, "encrypted, at home"},
		{"the home's network", console.Reach{Here: "http://192.168.1.10:8053"}, []string{"Phones at home", "plain HTTP", "read along", "passkeys work"}, "away"},
		{"a public name", console.Reach{Here: "https://dns.example", Secure: true}, []string{"encrypted, at home and away"}, "plain HTTP"},
		{"no network that is known", console.Reach{}, nil, "--console"},
	} {
		got := reachText(tt.reach, nil)
		wantAll(t, tt.name, got, tt.want...)
		wantNone(t, tt.name, got, tt.not)
	}
}
