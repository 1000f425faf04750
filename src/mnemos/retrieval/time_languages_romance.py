"""Words for time in Spanish, French and Portuguese."""

from __future__ import annotations

from mnemos.retrieval.time_spans import Edge, Offset, Part, Recurs, Unit, Which
from mnemos.retrieval.time_words import Language, cycles, feasts, quantities, spread

SPANISH = Language(
    code="es",
    names={
        **cycles(
            Recurs.MONTH,
            "enero febrero marzo abril mayo junio julio agosto septiembre|setiembre octubre"
            " noviembre diciembre",
        ),
        **cycles(
            Recurs.WEEKDAY,
            "lunes martes miércoles|miercoles jueves viernes sábado|sabado domingo",
        ),
        **cycles(Recurs.SEASON, "primavera verano otoño invierno"),
        **feasts("navidad", "nochebuena", "año_nuevo", "nochevieja", "san_valentín", "halloween"),
    },
    weak=frozenset({"mayo", "primavera", "verano", "otoño", "invierno"}),
    units=spread(
        {
            Unit.MINUTE: "minuto minutos",
            Unit.HOUR: "hora horas",
            Unit.DAY: "día días dia dias",
            Unit.WEEK: "semana semanas",
            Unit.WEEKEND: "fin_de_semana fines_de_semana",
            Unit.MONTH: "mes meses",
            Unit.YEAR: "año años",
            Unit.DECADE: "década décadas",
        }
    ),
    numbers=quantities(
        "un|una|uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
        few="unos unas algunos algunas unos_cuantos unas_cuantas",
        couple="un_par_de par_de",
        several="varios varias",
    ),
    when=spread(
        {
            Offset(Unit.DAY, -2): "anteayer antes_de_ayer antier",
            Offset(Unit.DAY, -1): "ayer",
            Offset(Unit.DAY, 0): "hoy",
            Offset(Unit.DAY, 1): "mañana",
            Offset(Unit.DAY, 2): "pasado_mañana",
        }
    ),
    moments=spread(
        {
            (-1, Part.NIGHT): "anoche",
            (0, Part.MORNING): "esta_mañana",
            (0, Part.AFTERNOON): "esta_tarde",
            (0, Part.NIGHT): "esta_noche",
        }
    ),
    parts=spread({Part.MORNING: "mañana", Part.AFTERNOON: "tarde", Part.NIGHT: "noche"}),
    which=spread(
        {
            Which.LAST: "pasado pasada último última",
            Which.THIS: "este esta",
            Which.NEXT: "próximo próxima que_viene",
        }
    ),
    edges=spread(
        {
            Edge.START: "principios comienzos inicios principio comienzo inicio",
            Edge.MIDDLE: "mediados",
            Edge.END: "finales fines final",
        }
    ),
    nth=spread(
        {
            1: "primer primera",
            2: "segundo segunda",
            3: "tercer tercera",
            4: "cuarto cuarta",
            -1: "último última",
        }
    ),
    to=r"\s?[-\u2013]\s?|\s(?:o|a)\s",
    rules=(
        ("ago", r"hace (?:casi |como )?<qty> <unit>"),
        ("ago", r"<qty> <unit> atrás"),
        ("ahead", r"(?:dentro de|en) <qty> <unit>"),
        ("trailing", r"(?:los |las )?últim[oa]s <qty> <unit>"),
        ("leading", r"(?:los |las )?próxim[oa]s <qty> <unit>"),
        ("shift", r"<which> <unit>"),
        ("shift", r"(?:el |la )?<unit> <which>"),
        ("this", r"(?:el|la|del) <unit>"),
        ("weekend", r"(?:el|durante el) fin de semana"),
        ("choose", r"<which> <name>"),
        ("choose", r"(?:el |la )?<name> <which>"),
        ("plain", r"(?<!los\s)<name>"),
        ("date", r"<d>º? de <month>"),
        ("when", r"(?<!la\s)(?<!esta\s)(?<!una\s)<when>"),
        ("moment", r"<moment>"),
        ("part", r"<part>"),
    ),
    before=(
        ("since", r"desde (?:el |la )?"),
        ("before", r"<qty> <unit> antes (?:del |de )(?:la )?"),
        ("after", r"<qty> <unit> después (?:del |de )(?:la )?"),
        ("unit before", r"(?:el |la )?(?:<unit>|<weekday>) (?:antes|anterior) (?:del? |al |a )"),
        ("unit after", r"(?:el |la )?(?:<unit>|<weekday>) (?:después|siguiente) (?:del? |al |a )"),
        ("unit of", r"(?:el |la )?<unit> del "),
        ("third", r"(?:a |al )?<edge> (?:de |del )?(?:el |la )?"),
        ("nth", r"(?:el |la )?<nth> (?:<unit>|<weekday>) (?:de|del) (?:el |la )?"),
        ("around", r"(?:alrededor de|hacia|cerca de) (?:la |el )?"),
    ),
    leads={
        Recurs.MONTH: r"en|desde|hasta|de|durante|hacia",
        Recurs.SEASON: r"(?:en|desde|hasta|durante)(?: el| la)?",
        None: r"en|desde|hasta|de|del|en el año",
    },
    future=r"\b(?:voy a|vas a|va a|vamos a|van a|próxim[oa]s?|que viene|iré|iremos|será)\b",
    common=frozenset(
        "el la los que y es en un una por con para mi se no lo me fui está del las muy pero como"
        " nos yo tengo fue al ha he".split()
    ),
)

FRENCH = Language(
    code="fr",
    names={
        **cycles(
            Recurs.MONTH,
            "janvier février|fevrier mars avril mai juin juillet août|aout septembre octobre"
            " novembre décembre|decembre",
        ),
        **cycles(Recurs.WEEKDAY, "lundi mardi mercredi jeudi vendredi samedi dimanche"),
        **cycles(Recurs.SEASON, "printemps été automne hiver"),
        **feasts(
            "noël noel",
            "veille_de_noël réveillon_de_noël",
            "jour_de_l'an nouvel_an",
            "saint-sylvestre",
            "saint-valentin",
            "halloween",
        ),
    },
    weak=frozenset({"mars", "mai", "printemps", "été", "automne", "hiver"}),
    units=spread(
        {
            Unit.MINUTE: "minute minutes",
            Unit.HOUR: "heure heures",
            Unit.DAY: "jour jours",
            Unit.WEEK: "semaine semaines",
            Unit.WEEKEND: "week-end week-ends weekend weekends",
            Unit.MONTH: "mois",
            Unit.YEAR: "an ans année années",
            Unit.DECADE: "décennie décennies",
        }
    ),
    numbers=quantities(
        "un|une deux trois quatre cinq six sept huit neuf dix onze douze",
        few="quelques",
        several="plusieurs",
    ),
    when=spread(
        {
            Offset(Unit.DAY, -2): "avant-hier",
            Offset(Unit.DAY, -1): "hier",
            Offset(Unit.DAY, 0): "aujourd'hui",
            Offset(Unit.DAY, 1): "demain",
            Offset(Unit.DAY, 2): "après-demain",
        }
    ),
    moments=spread(
        {
            (0, Part.MORNING): "ce_matin",
            (0, Part.AFTERNOON): "cet_après-midi",
            (0, Part.EVENING): "ce_soir",
        }
    ),
    parts=spread(
        {
            Part.MORNING: "matin",
            Part.AFTERNOON: "après-midi",
            Part.EVENING: "soir",
            Part.NIGHT: "nuit",
        }
    ),
    which=spread(
        {
            Which.LAST: "dernier dernière passé passée",
            Which.THIS: "ce cet cette",
            Which.NEXT: "prochain prochaine",
        }
    ),
    edges=spread(
        {Edge.START: "début", Edge.MIDDLE: "mi- mi milieu", Edge.END: "fin"},
    ),
    nth=spread(
        {
            1: "premier première",
            2: "deuxième",
            3: "troisième",
            4: "quatrième",
            -1: "dernier dernière",
        }
    ),
    to=r"\s?[-\u2013]\s?|\s(?:ou|à)\s",
    rules=(
        ("ago", r"il y a (?:environ |presque |à peu près )?<qty> <unit>"),
        ("ahead", r"dans (?:environ )?<qty> <unit>"),
        ("trailing", r"(?:les |ces )?<qty> derni(?:ers|ères) <unit>"),
        ("leading", r"(?:les |ces )?<qty> prochain(?:s|es) <unit>"),
        ("shift", r"<which> <unit>(?:-ci)?"),
        ("shift", r"(?:le |la |l['\u2019])?<unit> <which>"),
        ("this", r"(?:le |la |l['\u2019]|du )<unit>"),
        ("weekend", r"(?:le|ce|durant le|pendant le) week-?end"),
        ("choose", r"<which> <name>"),
        ("choose", r"(?:le |la |l['\u2019])?<name> <which>"),
        ("plain", r"<name>"),
        ("date", r"<d>(?:er)? <month>"),
        ("when", r"<when>"),
        ("moment", r"<moment>"),
        ("part", r"<part>"),
    ),
    before=(
        ("since", r"depuis (?:le |la |l['\u2019])?"),
        ("before", r"<qty> <unit> avant (?:le |la )?"),
        ("after", r"<qty> <unit> après (?:le |la )?"),
        (
            "unit before",
            r"(?:le |la |l['\u2019])?(?:<unit>|<weekday>) (?:avant|précédant) (?:le |la )?",
        ),
        (
            "unit after",
            r"(?:le |la |l['\u2019])?(?:<unit>|<weekday>) (?:après|suivant) (?:le |la )?",
        ),
        ("unit of", r"(?:le |la )?<unit> du "),
        ("third", r"(?:le |la |au |à la )?<edge>(?:(?<=-)| )(?:de |du |d['\u2019])?(?:la )?"),
        ("nth", r"(?:le |la )?<nth> (?:<unit>|<weekday>) (?:de |du |d['\u2019])"),
        ("around", r"(?:vers|autour de|aux alentours de) (?:le |la )?"),
    ),
    leads={
        Recurs.MONTH: r"en|depuis|jusqu['\u2019]en|mois de|courant|de",
        Recurs.SEASON: r"en|au|depuis le|cet",
        None: r"en|depuis|de|jusqu['\u2019]en|année",
    },
    future=r"\b(?:vais|vas|va|allons|allez|vont|prochaine?|sera|serai)\b",
    common=frozenset(
        "le la les et est je tu il elle nous vous un une dans pour que qui pas avec sur mon ma au"
        " du des ai ce suis on mes en".split()
    ),
)

PORTUGUESE = Language(
    code="pt",
    names={
        **cycles(
            Recurs.MONTH,
            "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro"
            " dezembro",
        ),
        **cycles(
            Recurs.WEEKDAY,
            "segunda-feira|segunda terça-feira|terça quarta-feira|quarta quinta-feira|quinta"
            " sexta-feira|sexta sábado domingo",
        ),
        **cycles(Recurs.SEASON, "primavera verão outono inverno"),
        **feasts(
            "natal",
            "véspera_de_natal",
            "ano_novo",
            "réveillon véspera_de_ano_novo",
            "são_valentim",
            "halloween",
        ),
    },
    capitals=frozenset({"natal"}),
    weak=frozenset(
        "segunda terça quarta quinta sexta primavera verão outono inverno".split(),
    ),
    units=spread(
        {
            Unit.MINUTE: "minuto minutos",
            Unit.HOUR: "hora horas",
            Unit.DAY: "dia dias",
            Unit.WEEK: "semana semanas",
            Unit.WEEKEND: "fim_de_semana final_de_semana fins_de_semana finais_de_semana",
            Unit.MONTH: "mês meses",
            Unit.YEAR: "ano anos",
            Unit.DECADE: "década décadas",
        }
    ),
    numbers=quantities(
        "um|uma dois|duas três quatro cinco seis sete oito nove dez onze doze",
        few="alguns algumas poucos poucas uns umas",
        couple="um_par_de",
        several="vários várias",
    ),
    when=spread(
        {
            Offset(Unit.DAY, -2): "anteontem",
            Offset(Unit.DAY, -1): "ontem",
            Offset(Unit.DAY, 0): "hoje",
            Offset(Unit.DAY, 1): "amanhã",
            Offset(Unit.DAY, 2): "depois_de_amanhã",
        }
    ),
    moments=spread(
        {
            (0, Part.MORNING): "esta_manhã",
            (0, Part.AFTERNOON): "esta_tarde",
            (0, Part.NIGHT): "esta_noite",
        }
    ),
    parts=spread({Part.MORNING: "manhã", Part.AFTERNOON: "tarde", Part.NIGHT: "noite"}),
    which=spread(
        {
            Which.LAST: "passado passada último última",
            Which.THIS: "este esta neste nesta deste desta",
            Which.NEXT: "próximo próxima que_vem",
        }
    ),
    edges=spread(
        {
            Edge.START: "início começo",
            Edge.MIDDLE: "meados meio",
            Edge.END: "fim final",
        }
    ),
    nth=spread(
        {
            1: "primeiro primeira",
            2: "segundo segunda",
            3: "terceiro terceira",
            4: "quarto quarta",
            -1: "último última",
        }
    ),
    to=r"\s?[-\u2013]\s?|\s(?:ou|a)\s",
    rules=(
        ("ago", r"(?:há|faz) (?:cerca de |quase )?<qty> <unit>(?: atrás)?"),
        ("ago", r"<qty> <unit> atrás"),
        ("ahead", r"(?:daqui a|dentro de|em) <qty> <unit>"),
        ("trailing", r"(?:os |as |nos |nas )?últim[oa]s <qty> <unit>"),
        ("leading", r"(?:os |as |nos |nas )?próxim[oa]s <qty> <unit>"),
        ("shift", r"<which> <unit>"),
        ("shift", r"<unit> <which>"),
        ("this", r"(?:o|a|do|da) <unit>"),
        ("weekend", r"(?:no|o|durante o) (?:fim|final) de semana"),
        ("choose", r"<which> <name>"),
        ("choose", r"<name> <which>"),
        ("plain", r"<name>"),
        ("date", r"<d>º? de <month>"),
        ("when", r"<when>"),
        ("moment", r"<moment>"),
        ("part", r"<part>"),
    ),
    before=(
        ("since", r"desde (?:o |a )?"),
        ("before", r"<qty> <unit> antes (?:do |da |de )"),
        ("after", r"<qty> <unit> depois (?:do |da |de )"),
        (
            "unit before",
            r"(?:o |a )?(?:<unit>|<weekday>) (?:antes|anterior) (?:do |da |de |a |ao )",
        ),
        (
            "unit after",
            r"(?:o |a )?(?:<unit>|<weekday>) (?:depois|seguinte) (?:do |da |de |a |ao )",
        ),
        ("unit of", r"(?:a |o )?<unit> (?:de|do dia) "),
        ("third", r"(?:o |no |em |ao )?<edge> (?:de |do |da )?"),
        ("nth", r"(?:o |a |no |na )?<nth> (?:<unit>|<weekday>) (?:de|do|da) "),
        ("around", r"(?:por volta de|por volta do|perto do|cerca de) (?:o |a )?"),
    ),
    leads={
        Recurs.MONTH: r"em|desde|até|de|durante",
        Recurs.SEASON: r"no|na|neste|nesta|desde o|desde a|durante o|durante a",
        None: r"em|desde|até|de|no ano de",
    },
    future=r"\b(?:vou|vais|vai|vamos|vão|próxim[oa]s?|que vem|será|irei|iremos)\b",
    common=frozenset(
        "o os um uma e é não eu você nós ele ela em no na do da com para por que se meu minha fui"
        " está mas foi muito ao às".split()
    ),
)
