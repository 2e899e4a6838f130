package setup

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestQRIsRead: a scanner that is not ours reads what was written.
func TestQRIsRead(t *testing.T) {
	for _, text := range []string{family().Host(), family().URL()} {
		q, err := NewQR(text)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "code.png")
		if err := os.WriteFile(file, q.PNG(), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("zbarimg", "--quiet", "--raw", file).Output()
		if err != nil {
			t.Fatalf("zbarimg (Debian: zbar-tools): %v", err)
		}
		if got := strings.TrimSpace(string(out)); got != text {
			t.Errorf("zbarimg reads %q, want %q", got, text)
		}
	}
	if _, err := NewQR(strings.Repeat("a", 8000)); err == nil {
		t.Error("more than a code holds is taken")
	}
}

// bitmap draws what is dark in a code as text.
func bitmap(side int, dark func(x, y int) bool) string {
	var b bytes.Buffer
	for y := range side {
		for x := range side {
			b.WriteByte(" #"[map[bool]int{true: 1}[dark(x, y)]])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestQRForms: the drawing and the terminal's form show the same modules as the
// image, with the margin that scanners need.
func TestQRForms(t *testing.T) {
	q, err := NewQR(family().Host())
	if err != nil {
		t.Fatal(err)
	}
	side := q.code.Size + 2*quiet
	want := bitmap(side, func(x, y int) bool { return q.code.Black(x-quiet, y-quiet) })

	svg := q.SVG(`Lea's <phone> & "more"`)
	if !strings.Contains(svg, "Lea's &lt;phone&gt; &amp; &quot;more&quot;") {
		t.Errorf("the words of the drawing are not escaped: %.200s", svg)
	}
	drawn := map[[2]int]bool{}
	for _, m := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).FindAllStringSubmatch(svg, -1) {
		x, _ := strconv.Atoi(m[1])
		y, _ := strconv.Atoi(m[2])
		n, _ := strconv.Atoi(m[3])
		for i := range n {
			drawn[[2]int{x + i, y}] = true
		}
	}
	if got := bitmap(side, func(x, y int) bool { return drawn[[2]int{x, y}] }); got != want {
		t.Errorf("the drawing shows\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(svg, fmt.Sprintf(`viewBox="0 0 %d %d"`, side, side)) {
		t.Errorf("the drawing has no margin: %.200s", svg)
	}

	shown := map[[2]int]bool{}
	for row, line := range strings.Split(strings.TrimSuffix(q.Text(), "\n"), "\n") {
		line = strings.TrimSuffix(strings.TrimPrefix(line, "\x1b[38;2;0;0;0;48;2;255;255;255m"), "\x1b[0m")
		for x, r := range []rune(line) {
			shown[[2]int{x, 2 * row}] = r == '█' || r == '▀'
			shown[[2]int{x, 2*row + 1}] = r == '█' || r == '▄'
		}
	}
	if got := bitmap(side, func(x, y int) bool { return shown[[2]int{x, y}] }); got != want {
		t.Errorf("the terminal shows\n%s\nwant\n%s", got, want)
	}
}
