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
		`chose "watch" for category social in profile Lea`:                               "im Profil Lea „erlauben und festhalten“ gewählt für die Kategorie Soziale Medien",
		`took back "block" for service tiktok in profile Tom`:                            "im Profil Tom „sperren“ für den Dienst tiktok zurückgenommen",
		`added device Lea's phone (192.0.2.7) to profile Lea until 2026-12-01T10:00:00Z`: "das Gerät Lea's phone (192.0.2.7) bis 2026-12-01T10:00:00Z zum Profil Lea hinzugefügt",
		`profile "Lea": category social is "watch", not "block"`:                         "Profil „Lea“: die Kategorie „Soziale Medien“ ist auf „erlauben und festhalten“ statt „sperren“",
		`granted profile Lea name:example.org until 2026-12-01T10:00:00Z`:                "für das Profil Lea freigegeben: example.org bis 2026-12-01T10:00:00Z",
		`added rule 3 to profile Lea: deny example.org and all below it`:                 "dem Profil Lea die Regel 3 hinzugefügt: example.org und alles darunter sperren",
		`Removed guardian Tom.`:      "Die Betreuungsperson Tom entfernt.",
		`added guardian Eva (owner)`: "Eva als Betreuungsperson hinzugefügt (verantwortlich)",
		`Tinder is listed as "Dating & hook-ups": made for adults who want to meet in person; nearly all of them require an age of 18.`: "Tinder steht unter „Dating und Treffen“. Für Erwachsene, die sich treffen wollen; fast alle verlangen ein Alter von 18 Jahren.",
		`Added profile Mia (preset E).`: "Das Profil Mia hinzugefügt (16–17 Jahre).",
		`made the family Home with profile Everyone (preset C) for every device, and profile Adults (preset adult)`: "die Familie Home angelegt, mit dem Profil Everyone (11–12 Jahre) für jedes Gerät und dem Profil Adults (Erwachsene)",
		`112; police 110`:                  "112; Polizei 110",
		`something that nobody translated`: "something that nobody translated",
	} {
		if got := de.said(english); got != want {
			t.Errorf("%s\n got %s\nwant %s", english, got, want)
		}
	}
}
