package console

import "testing"

func TestSaid(t *testing.T) {
	texts, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	de := texts.choose("de")
	for english, want := range map[string]string{
		`it was blocked`: "es wurde gesperrt",
		`chose "watch" for category social in profile Lea`:                               "im Profil Lea „erlauben und aufzeichnen“ gewählt für die Art Soziale Medien",
		`took back "block" for service tiktok in profile Tom`:                            "im Profil Tom „sperren“ für den Dienst tiktok zurückgenommen",
		`added device Lea's phone (192.0.2.7) to profile Lea until 2026-12-01T10:00:00Z`: "das Gerät Lea's phone (192.0.2.7) bis 2026-12-01T10:00:00Z zum Profil Lea hinzugefügt",
		`profile "Lea": category social is "watch", not "block"`:                         "Profil „Lea“: die Art „Soziale Medien“ ist auf „erlauben und aufzeichnen“ statt „sperren“",
		`granted profile Lea name:example.org until 2026-12-01T10:00:00Z`:                "für das Profil Lea freigegeben: example.org bis 2026-12-01T10:00:00Z",
		`added rule 3 to profile Lea: deny example.org and all below it`:                 "dem Profil Lea die Regel 3 hinzugefügt: example.org und alles darunter sperren",
		`Removed guardian Tom.`:            "Tom als erwachsene Person entfernt.",
		`something that nobody translated`: "something that nobody translated",
	} {
		if got := de.said(english); got != want {
			t.Errorf("%s\n got %s\nwant %s", english, got, want)
		}
	}
}

func BenchmarkSaid(b *testing.B) {
	texts, err := loadTexts()
	if err != nil {
		b.Fatal(err)
	}
	de := texts.choose("de")
	for b.Loop() {
		de.say(`Chatrandom is listed as "Chat with strangers": brings your child into text or video chat with unknown adults, mostly without checking anybody's age.`)
		de.say(`Added rule 3 to profile Lea: deny example.org and all below it.`)
		de.say(`Something that nobody has words for, and that is as long as such sentences are.`)
	}
}
