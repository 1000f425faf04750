"""Words for time in Chinese, Japanese and Korean."""

from __future__ import annotations

from mnemos.retrieval.time_spans import Edge, Offset, Part, Recurs, Unit, Which
from mnemos.retrieval.time_words import Language, Quantity, cycles, feasts, quantities, spread

_DIGITS = "一二三四五六七八九"


def _numerals() -> dict[str, Quantity]:
    """Write the Chinese numerals from 1 to 99."""
    words: dict[str, Quantity] = {}
    for n in range(1, 100):
        tens, ones = divmod(n, 10)
        ten = "" if tens == 0 else ("" if tens == 1 else _DIGITS[tens - 1]) + "十"
        words[ten + (_DIGITS[ones - 1] if ones else "")] = Quantity(n, n)
    return words


CHINESE = Language(
    code="zh",
    script=r"\A[^\u3040-\u30ff]*[\u4e00-\u9fff]",
    gap=r"\s{0,3}",
    edge_left="",
    edge_right="",
    names={
        **cycles(
            Recurs.WEEKDAY,
            " ".join(
                "|".join(
                    week + day for week in ("周", "週", "星期", "礼拜", "禮拜") for day in names
                )
                for names in ("一", "二", "三", "四", "五", "六", "日天")
            ),
        ),
        **cycles(Recurs.SEASON, "春天|春季 夏天|夏季 秋天|秋季 冬天|冬季"),
        **feasts(
            "圣诞节 聖誕節 圣诞 聖誕", "平安夜", "元旦", "跨年夜", "情人节 情人節", "万圣节 萬聖節"
        ),
    },
    weak=frozenset("春天 春季 夏天 夏季 秋天 秋季 冬天 冬季".split()),
    units=spread(
        {
            Unit.MINUTE: "分钟 分鐘",
            Unit.HOUR: "小时 小時 个小时 個小時",
            Unit.DAY: "天 日",
            Unit.WEEK: "周 週 星期 个星期 個星期 礼拜 个礼拜 個禮拜",
            Unit.MONTH: "个月 個月",
            Unit.YEAR: "年",
        }
    ),
    numbers={
        **_numerals(),
        **quantities("", few="几 幾 数 數"),
        "两": Quantity(2, 2),
        "兩": Quantity(2, 2),
    },
    when=spread(
        {
            Offset(Unit.DAY, -3): "大前天",
            Offset(Unit.DAY, -2): "前天",
            Offset(Unit.DAY, -1): "昨天 昨日",
            Offset(Unit.DAY, 0): "今天 今日",
            Offset(Unit.DAY, 1): "明天 明日",
            Offset(Unit.DAY, 2): "后天 後天",
            Offset(Unit.WEEK, -2): "上上周 上上週 上上星期 上上个星期",
            Offset(Unit.WEEK, -1): "上周 上週 上星期 上个星期 上個星期 上礼拜 上个礼拜 上禮拜",
            Offset(Unit.WEEK, 0): "本周 本週 这周 這週 这星期 这个星期 這個星期 这礼拜",
            Offset(Unit.WEEK, 1): "下周 下週 下星期 下个星期 下個星期 下礼拜 下个礼拜 下禮拜",
            Offset(Unit.WEEKEND, -1): "上周末 上週末 上个周末 上個週末",
            Offset(Unit.WEEKEND, 0): "本周末 这周末 這週末 这个周末 這個週末",
            Offset(Unit.WEEKEND, 1): "下周末 下週末 下个周末 下個週末",
            Offset(Unit.MONTH, -1): "上个月 上個月",
            Offset(Unit.MONTH, 0): "本月 这个月 這個月",
            Offset(Unit.MONTH, 1): "下个月 下個月",
            Offset(Unit.YEAR, -2): "前年",
            Offset(Unit.YEAR, -1): "去年",
            Offset(Unit.YEAR, 0): "今年",
            Offset(Unit.YEAR, 1): "明年",
            Offset(Unit.YEAR, 2): "后年 後年",
        }
    ),
    moments=spread(
        {
            (-1, Part.NIGHT): "昨晚 昨夜",
            (0, Part.NIGHT): "今晚 今夜",
            (0, Part.MORNING): "今早",
        }
    ),
    parts=spread(
        {
            Part.MORNING: "早上 上午 早晨",
            Part.AFTERNOON: "中午 下午",
            Part.EVENING: "傍晚",
            Part.NIGHT: "晚上 夜里 夜裡",
        }
    ),
    edges=spread({Edge.START: "初 上旬", Edge.MIDDLE: "中旬", Edge.END: "底 末 下旬"}),
    nth=spread({n + 1: day for n, day in enumerate((*"一二三四五六", "日 天"))}),
    to=r"[-\u2013~到至]",
    rules=(
        ("ago", r"<qty>多?<unit>(?:之|以)?前"),
        ("ahead", r"<qty><unit>(?:之|以)?[后後]"),
        ("trailing", r"(?:过去|過去|最近|近)的?这?<qty><unit>"),
        ("leading", r"(?:未来|未來|接下来|接下來)的?<qty><unit>"),
        ("in week", r"<when>的?(?!一[直起样樣些个個般共定次])<nth>"),
        ("when", r"(?<![早晚马馬])<when>"),
        ("plain", rf"(?<![{_DIGITS}十两每几\d])<name>(?![次直])"),
        ("weekend", r"周末|週末"),
        ("numeric", r"<y>年<m>月(?:<d>[日号號])?"),
        ("date", r"<m>月<d>[日号號]"),
        ("month", rf"(?<![{_DIGITS}十])<m>月份?"),
        ("year", r"<y>年"),
        ("moment", r"<moment>"),
        ("part", r"<part>"),
    ),
    before=(("since", r"自从?|自從"),),
    behind=(
        ("since", r"以来|以來|至今|到现在|到現在"),
        ("third", r"的?<edge>"),
        ("around", r"左右|前后|前後"),
    ),
    future=r"将|將|打算|准备|準備|计划|計劃|要去",
)

JAPANESE = Language(
    code="ja",
    script=r"[\u3040-\u30ff\u4e00-\u9fff]",
    gap=r"\s{0,3}",
    edge_left="",
    edge_right="",
    names={
        **cycles(
            Recurs.WEEKDAY,
            "月曜日|月曜 火曜日|火曜 水曜日|水曜 木曜日|木曜 金曜日|金曜 土曜日|土曜 日曜日|日曜",
        ),
        **cycles(Recurs.SEASON, "春 夏 秋 冬"),
        **feasts(
            "クリスマス",
            "クリスマスイブ クリスマスイヴ",
            "元日 元旦",
            "大晦日 大みそか",
            "バレンタインデー バレンタイン",
            "ハロウィン ハロウィーン",
        ),
    },
    weak=frozenset("春夏秋冬"),
    units=spread(
        {
            Unit.MINUTE: "分 分間",
            Unit.HOUR: "時間",
            Unit.DAY: "日 日間",
            Unit.WEEK: "週 週間",
            Unit.MONTH: "か月 ヶ月 カ月 ヵ月 ケ月 箇月",
            Unit.YEAR: "年 年間",
        }
    ),
    numbers={**_numerals(), **quantities("", few="数")},
    when=spread(
        {
            Offset(Unit.DAY, -2): "一昨日 おととい",
            Offset(Unit.DAY, -1): "昨日 きのう",
            Offset(Unit.DAY, 0): "今日 本日",
            Offset(Unit.DAY, 1): "明日 あした",
            Offset(Unit.DAY, 2): "明後日 あさって",
            Offset(Unit.WEEK, -2): "先々週",
            Offset(Unit.WEEK, -1): "先週",
            Offset(Unit.WEEK, 0): "今週",
            Offset(Unit.WEEK, 1): "来週",
            Offset(Unit.WEEK, 2): "再来週",
            Offset(Unit.WEEKEND, -1): "先週末",
            Offset(Unit.WEEKEND, 0): "今週末",
            Offset(Unit.WEEKEND, 1): "来週末",
            Offset(Unit.MONTH, -2): "先々月",
            Offset(Unit.MONTH, -1): "先月",
            Offset(Unit.MONTH, 0): "今月",
            Offset(Unit.MONTH, 1): "来月",
            Offset(Unit.YEAR, -2): "一昨年 おととし",
            Offset(Unit.YEAR, -1): "去年 昨年",
            Offset(Unit.YEAR, 0): "今年",
            Offset(Unit.YEAR, 1): "来年",
            Offset(Unit.YEAR, 2): "再来年",
        }
    ),
    moments=spread(
        {
            (-1, Part.NIGHT): "昨夜 昨晩 ゆうべ",
            (0, Part.MORNING): "今朝",
            (0, Part.NIGHT): "今夜 今晩",
        }
    ),
    parts=spread(
        {
            Part.MORNING: "朝 午前",
            Part.AFTERNOON: "昼 午後",
            Part.EVENING: "夕方",
            Part.NIGHT: "夜 晩",
        }
    ),
    which=spread({Which.LAST: "前の", Which.COMING: "今度の 次の"}),
    edges=spread(
        {
            Edge.START: "初め はじめ 上旬 初旬",
            Edge.MIDDLE: "半ば 中旬",
            Edge.END: "末 終わり 下旬",
        }
    ),
    to=r"[-\u2013~\u301c\uff5e、]",
    rules=(
        ("ago", r"<qty><unit>(?:ほど|くらい|ぐらい)?前"),
        ("ahead", r"<qty><unit>後"),
        ("trailing", r"(?:過去|ここ|この)<qty><unit>"),
        ("leading", r"(?:今後|これから)<qty><unit>"),
        ("choose", r"<which><name>"),
        ("when", r"<when>"),
        ("plain", r"<name>"),
        ("weekend", r"週末"),
        ("numeric", r"<y>年<m>月(?:<d>日)?"),
        ("date", r"<m>月<d>日"),
        ("month", rf"(?<![{_DIGITS}十])<m>月(?!曜)"),
        ("year", r"<y>年"),
        ("moment", r"<moment>"),
        ("part", r"<part>"),
    ),
    behind=(
        ("since", r"から|以来|以降"),
        ("third", r"の?<edge>"),
        ("around", r"頃|ごろ|あたり|前後"),
    ),
    future=r"予定|つもり|でしょう|だろう",
)

KOREAN = Language(
    code="ko",
    script=r"[\uac00-\ud7a3]",
    gap=r"\s{0,3}",
    edge_right="",
    names={
        **cycles(Recurs.WEEKDAY, "월요일 화요일 수요일 목요일 금요일 토요일 일요일"),
        **cycles(Recurs.SEASON, "봄 여름 가을 겨울"),
        **feasts(
            "크리스마스 성탄절",
            "크리스마스이브 크리스마스_이브",
            "새해_첫날 신정",
            "",
            "발렌타인데이 밸런타인데이",
            "핼러윈 할로윈",
        ),
    },
    weak=frozenset("봄 여름 가을 겨울".split()),
    units=spread(
        {
            Unit.MINUTE: "분",
            Unit.HOUR: "시간",
            Unit.DAY: "일",
            Unit.WEEK: "주 주일 주간",
            Unit.MONTH: "개월 달",
            Unit.YEAR: "년 해",
        }
    ),
    numbers={
        **quantities(
            "한|일 두|이 세|삼 네|사 다섯|오 여섯|육 일곱|칠 여덟|팔 아홉|구 열|십", few="몇"
        ),
    },
    when=spread(
        {
            Offset(Unit.DAY, -4): "나흘_전",
            Offset(Unit.DAY, -3): "사흘_전",
            Offset(Unit.DAY, -2): "그제 그저께 이틀_전",
            Offset(Unit.DAY, -1): "어제 하루_전",
            Offset(Unit.DAY, 0): "오늘",
            Offset(Unit.DAY, 1): "내일",
            Offset(Unit.DAY, 2): "모레 내일모레",
            Offset(Unit.WEEK, -2): "지지난주",
            Offset(Unit.WEEK, -1): "지난주 지난_주 저번주 저번_주",
            Offset(Unit.WEEK, 0): "이번주 이번_주",
            Offset(Unit.WEEK, 1): "다음주 다음_주",
            Offset(Unit.WEEKEND, -1): "지난_주말 지난주말 저번_주말",
            Offset(Unit.WEEKEND, 0): "이번_주말 이번주말",
            Offset(Unit.WEEKEND, 1): "다음_주말 다음주말",
            Offset(Unit.MONTH, -1): "지난달 지난_달 저번_달 저번달",
            Offset(Unit.MONTH, 0): "이번_달 이번달",
            Offset(Unit.MONTH, 1): "다음_달 다음달",
            Offset(Unit.YEAR, -2): "재작년",
            Offset(Unit.YEAR, -1): "작년 지난해 지난_해",
            Offset(Unit.YEAR, 0): "올해 금년",
            Offset(Unit.YEAR, 1): "내년",
            Offset(Unit.YEAR, 2): "내후년",
        }
    ),
    moments=spread({(-1, Part.NIGHT): "어젯밤 간밤", (0, Part.NIGHT): "오늘밤"}),
    parts=spread(
        {
            Part.MORNING: "아침 오전",
            Part.AFTERNOON: "오후 점심",
            Part.EVENING: "저녁",
            Part.NIGHT: "밤",
        }
    ),
    which=spread({Which.LAST: "지난 저번", Which.THIS: "이번", Which.NEXT: "다음"}),
    edges=spread({Edge.START: "초", Edge.MIDDLE: "중순", Edge.END: "말"}),
    to=r"[-\u2013~]",
    rules=(
        ("ago", r"(?:약 )?<qty> <unit> ?쯤? ?전"),
        ("ahead", r"<qty> <unit> ?(?:후|뒤)"),
        ("trailing", r"(?:지난|최근) <qty> <unit>(?: ?동안)?"),
        ("leading", r"(?:앞으로|향후) <qty> <unit>"),
        ("choose", r"<which> <name>"),
        ("when", r"<when>"),
        ("plain", r"<name>"),
        ("weekend", r"주말"),
        ("numeric", r"<y>년 <m>월(?: <d>일)?"),
        ("date", r"<m>월 <d>일"),
        ("month", r"<m>월(?!요)"),
        ("year", r"<y>년"),
        ("moment", r"<moment>"),
        ("part", r"<part>"),
    ),
    behind=(
        ("since", r" ?(?:부터|이후|이래)"),
        ("third", r" ?<edge>(?![가-힣]{2})"),
        ("around", r" ?(?:쯤|경|무렵)"),
    ),
    future=r"예정|거예요|겁니다|거야|계획",
)
