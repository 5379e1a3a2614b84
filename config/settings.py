"""Every setting, its default, unit and allowed range. Edit the defaults here, or override them in `.env`.

A name in `.env` or in the environment is the field's name in capitals: `risk_percent` is
`RISK_PERCENT`. The environment wins over `.env`, `.env` over this file. `python main.py config
show` prints what is in force and where it came from; `config validate` checks a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.sources import FlatSource
from config.values import broker_zone, distinct, plain_path, sim_faults, split_list, trading_sessions


class Section(BaseModel):
    """A frozen group of settings; an unknown name is an error, and errors do not repeat what was given."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


Names = Annotated[tuple[str, ...], BeforeValidator(split_list), AfterValidator(distinct)]
Hours = Annotated[tuple[Annotated[int, Field(ge=0, le=23)], ...], BeforeValidator(split_list)]
Faults = Annotated[tuple[str, ...], BeforeValidator(split_list), AfterValidator(sim_faults)]
Families = Annotated[
    tuple[Literal["order_blocks", "fair_value_gaps", "liquidity"], ...], BeforeValidator(split_list), AfterValidator(distinct)
]
Sessions = Annotated[tuple[str, ...], BeforeValidator(split_list), AfterValidator(trading_sessions)]


class TerminalSettings(Section):
    """Which terminal, which account, and whether money is at stake."""

    terminal: Literal["auto", "simulated", "mt5"] = Field("auto", description="auto = mt5 when MT5_LOGIN is set, else simulated")
    mt5_login: int | None = Field(None, ge=1, description="account number")
    mt5_password: SecretStr | None = Field(None, description="account password; never logged")
    mt5_server: str | None = Field(None, description="broker's server name as the terminal shows it")
    mt5_path: Annotated[Path, AfterValidator(plain_path)] | None = Field(
        None, description="terminal64.exe, where more than one is installed"
    )
    mt5_timeout_ms: int = Field(60_000, ge=1_000, le=600_000, description="ms to wait for the terminal to start")
    broker_time_zone: Annotated[str, AfterValidator(broker_zone)] = Field(
        "America/New_York+7", description="the server's clock: IANA zone, plus hours"
    )
    trade_mode: Literal["paper", "live"] = Field("paper", description="paper sends nothing to a real terminal. RISK: live sends orders")
    paper_balance: float | None = Field(
        None, gt=0, description="balance that a new paper account is opened with; empty = the real account's"
    )
    allow_real_account: bool = Field(False, description="RISK: true lets live mode trade an account with real money")
    magic: int = Field(20_260_101, ge=1, le=2**63 - 1, description="marks our orders; orders with another magic are left alone")
    deviation: int = Field(10, ge=0, le=1_000, description="points of slippage accepted on instant execution")
    terminal_isolation: Literal["inprocess", "process"] = Field(
        "inprocess", description="process: the module runs in a worker, which is killed and replaced when a call hangs"
    )
    terminal_call_seconds: float = Field(10.0, ge=0.5, le=600, description="longest quick call, such as a quote, in another process")
    terminal_history_seconds: float = Field(30.0, ge=0.5, le=3_600, description="longest call for bars, past orders and deals there")
    terminal_order_seconds: float = Field(30.0, ge=1, le=600, description="longest wait for an order there; then its outcome is unknown")
    max_quote_age_seconds: float = Field(
        60.0, ge=5, le=3_600, description="no entries on a symbol whose quote on a real terminal has not moved for so long"
    )
    poll_seconds: float = Field(0.5, ge=0.05, le=10, description="seconds between looks at a real terminal")


class SymbolSettings(Section):
    """What is traded."""

    symbols: Names = Field(("EURUSD",), min_length=1, description="comma-separated, as the broker names them")
    timeframe: Literal["M1", "M5", "M15", "M30", "H1"] = Field("M1", description="bar length of decisions and models")


class DataSettings(Section):
    """History and its freshness."""

    history_bars: int = Field(10_000, ge=3_000, le=1_000_000, description="closed bars that must exist before the first decision")
    chunk_bars: int = Field(5_000, ge=100, le=50_000, description="bars fetched from the terminal in one call")
    max_bar_age_bars: float = Field(
        2.0, ge=1, le=60, description="a decision later than this many bar lengths after the bar opened is vetoed as stale"
    )


class SimulationSettings(Section):
    """The simulated terminal: its market, account and pace."""

    speed: float = Field(60.0, gt=0, le=1e9, description="simulated seconds per second; --speed max replays in lockstep")
    sim_balance: float = Field(10_000.0, gt=0, description="opening balance, account currency")
    sim_leverage: int = Field(100, ge=1, le=3_000, description="account leverage")
    sim_slippage_points: float = Field(0.0, ge=0, le=100, description="points lost on every market fill")
    sim_currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="account currency, three letters")
    sim_margin_mode: Literal["hedging", "netting"] = Field("hedging", description="several positions per symbol, or one")
    sim_margin_call_percent: float = Field(100.0, ge=0, le=1_000, description="margin level at which the broker warns")
    sim_stop_out_percent: float = Field(50.0, ge=0, le=1_000, description="margin level below which it closes the worst position")
    sim_swap: bool = Field(True, description="charge swap each night, three times on Wednesday")
    sim_broker: Literal["inprocess", "process"] = Field(
        "inprocess", description="process: the simulated broker lives on when the daemon dies, and a new daemon finds it"
    )
    sim_faults: Faults = Field(
        (), description="trouble to rehearse, by share of the orders, or the order's number: requote:0.02, lost@3 (docs/FAULTS.md)"
    )
    sim_fault_seed: int = Field(7, ge=0, le=2**32 - 1, description="seed of that trouble: the same run meets the same again")
    synthetic_seed: int = Field(7, ge=0, le=2**32 - 1, description="seed of the synthetic market")
    synthetic_edge: float = Field(1.0, ge=0, le=3, description="strength of its predictable part; 0 = none at all")


class ModelSettings(Section):
    """Model kinds in use, names of their files, retention."""

    model_path: str = Field("scalper", pattern=r"^[A-Za-z0-9_]+$", description="file stem of the RandomForest under models/")
    xgb_model_path: str = Field("xgboost", pattern=r"^[A-Za-z0-9_]+$", description="file stem of the XGBoost model")
    lstm_model_path: str = Field("lstm", pattern=r"^[A-Za-z0-9_]+$", description="file stem of the BiLSTM; the symbol follows")
    lstm_scaler_path: Literal["scaler"] = Field(
        "scaler", description="suffix of the BiLSTM's feature scaler file; part of the artifact contract, so it has one value"
    )
    use_random_forest: bool = Field(True, description="train and serve the RandomForest")
    use_xgboost: bool = Field(True, description="train and serve XGBoost")
    use_lstm: bool = Field(True, description="train and serve the BiLSTM; false runs without torch")
    use_lag_llama: bool = Field(False, description="zero-shot forecaster; not part of this version, keep false")
    feature_families: Families = Field(
        (),
        description="columns beside the usual ones: order_blocks, fair_value_gaps, liquidity (docs/ABLATION.md); a change is a new recipe",
    )
    keep_versions: int = Field(5, ge=2, le=1_000, description="newest versions of each slot kept on disk")
    model_signing_key: SecretStr | None = Field(
        None, min_length=32, description="overrides the key file in the home; 32 characters or more"
    )


class TrainingSettings(Section):
    """When models are retrained, and how much work a job may be."""

    rf_retrain_hours: float = Field(4.0, ge=0.1, le=1_000, description="hours between RandomForest retrains")
    xgb_retrain_hours: float = Field(6.0, ge=0.1, le=1_000, description="hours between XGBoost retrains")
    lstm_retrain_hours: float = Field(8.0, ge=0.1, le=1_000, description="hours between BiLSTM retrains, per symbol")
    performance_check_minutes: float = Field(30.0, ge=1, le=1_440, description="minutes between looks at the live win rate")
    start_grace_seconds: float = Field(5.0, ge=0, le=3_600, description="seconds after start before the first job")
    replay_train_bars: int = Field(2, ge=0, le=1_000, description="bars between a job and its swap in a lockstep replay")
    tree_train_rows: int = Field(50_000, ge=2_000, le=1_000_000, description="rows of one tree job, all symbols together")
    tree_folds: int = Field(5, ge=2, le=20, description="walk-forward refits that judge the recipe")
    tree_count: int = Field(100, ge=10, le=2_000, description="trees in the RandomForest")
    boost_rounds: int = Field(100, ge=10, le=2_000, description="rounds of XGBoost")
    final_fraction: float = Field(0.25, ge=0.05, le=0.5, description="newest share of the rows, kept untouched to judge the artifact")
    train_seed: int = Field(42, ge=0, le=2**31 - 1, description="seed of every fit")
    train_threads: int = Field(1, ge=1, le=64, description="threads of one fit; leave a core to the trading loop")
    trainer_isolation: Literal["thread", "process"] = Field(
        "thread",
        description="process: each fit in a child process of its own, which disturbs the loop less and takes seconds more to start",
    )
    emergency_win_rate: float = Field(0.40, gt=0, lt=1, description="win rate of the last 20 closed trades that calls for a retrain")
    emergency_cooldown_hours: float = Field(6.0, ge=0.5, le=1_000, description="hours before another emergency retrain")


class WatchSettings(Section):
    """What is watched between retrains."""

    drift_check_minutes: float = Field(60.0, ge=1, le=10_080, description="minutes between looks for drift of market and hit rate")
    drift_cooldown_hours: float = Field(24.0, ge=0.5, le=1_000, description="hours before drift retrains the same slot again")
    drift_window_bars: int = Field(
        1_440, ge=100, le=100_000, description="newest bars that are compared with those that taught; a whole day or more"
    )
    drift_psi: float = Field(
        3.5, ge=1, le=1_000_000, description="population stability index of the newest window, in times of what such windows usually have"
    )
    drift_hits: float = Field(
        15.0, gt=0, le=1_000_000, description="Page-Hinkley limit for a falling hit rate, standard deviations of a block"
    )
    watchdog_minutes: float = Field(30.0, ge=1, le=10_080, description="minutes between looks for learning that does not happen")
    watchdog_bars: int = Field(30, ge=5, le=10_000, description="decided bars within which a promoted version must have a say")


class LstmSettings(Section):
    """The BiLSTM with attention."""

    lstm_seq_length: int = Field(60, ge=10, le=500, description="bars in one input window")
    lstm_hidden: int = Field(16, ge=4, le=512, description="units per direction")
    lstm_layers: int = Field(1, ge=1, le=4, description="stacked layers")
    lstm_dropout: float = Field(0.3, ge=0, lt=1, description="dropout before the head")
    lstm_epochs: int = Field(12, ge=1, le=500, description="most epochs of one fit")
    lstm_patience: int = Field(4, ge=1, le=100, description="epochs without improvement before a fit stops")
    lstm_batch: int = Field(128, ge=8, le=8_192, description="windows per step")
    lstm_learning_rate: float = Field(0.001, gt=0, le=1, description="AdamW's step size")
    lstm_train_rows: int = Field(10_000, ge=2_000, le=1_000_000, description="rows of one BiLSTM job")
    lstm_device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where fits run; serving is on the CPU")


class GateSettings(Section):
    """What a candidate must show before it may serve."""

    gate_profile: Literal["strict", "threshold"] = Field(
        "strict", description="RISK: threshold applies the accuracy and loss floors alone; refused with live"
    )
    min_accuracy: float = Field(0.50, ge=0, le=1, description="least directional accuracy in the final window")
    max_val_loss: float = Field(1.0, gt=0, le=1, description="validation loss over the loss of predicting zero must be below this")
    min_directional_rows: int = Field(200, ge=10, le=1_000_000, description="final rows on which the model must take a side")
    min_expectancy_r: float = Field(0.0, ge=-1, le=5, description="R per trade that the lower bound must exceed, after costs")
    gate_alpha_month: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="chance, per slot and calendar month, that any worthless candidate is promoted; all its tries share it",
    )
    gate_resamples: int = Field(2_000, ge=200, le=100_000, description="block-bootstrap resamples of the comparison with the champion")
    min_compare_blocks: int = Field(30, ge=5, le=10_000, description="blocks needed to compare with the champion")
    min_new_rows: int = Field(100, ge=0, le=1_000_000, description="final rows that earlier tries of the slot have not seen")
    max_latency_ms: float = Field(20.0, gt=0, le=1_000, description="median time of one forecast")


class LifeSettings(Section):
    """What becomes of a version once the gate has passed it."""

    shadow_bars: int = Field(0, ge=0, le=1_000_000, description="bars that a candidate forecasts without a vote before it serves; 0 = none")
    probation_alpha: float = Field(
        0.05, ge=0, lt=0.5, description="chance that a new version no worse than the former is rolled back all the same; 0 = no probation"
    )
    probation_max_bars: int = Field(
        25_000, ge=100, le=1_000_000, description="judged bars after which probation is over; fewer find less, more hold new versions up"
    )
    probation_margin_r: float = Field(
        0.04, ge=0, le=1, description="R a trade by which a new version may be worse than the former and stay"
    )
    probation_check_minutes: float = Field(15.0, ge=1, le=10_080, description="minutes between looks at versions on probation or in shadow")
    rollback_cooldown_hours: float = Field(12.0, ge=0, le=1_000, description="hours after an automatic rollback without a promotion")
    failing_alpha: float = Field(
        0.02,
        ge=0,
        lt=0.5,
        description="a version whose trades make nothing is stopped by mistake once in 1 / this blocks of two label lengths at most, on average; 0 = never stopped",
    )
    model_expiry_hours: float = Field(
        0.0, ge=0, le=100_000, description="hours after which a version stops voting, weekends included; 0 = never"
    )


class RiskSettings(Section):
    """What may be lost."""

    risk_percent: float = Field(0.5, gt=0, le=5, description="RISK: % of equity lost when a stop is hit")
    max_positions: int = Field(3, ge=1, le=100, description="open positions over all symbols")
    max_positions_per_symbol: int = Field(1, ge=1, le=10, description="open positions on one symbol")
    daily_loss_percent: float = Field(
        2.0, gt=0, le=50, description="RISK: % of the day's opening equity; floating loss counts; no entries beyond it until the next day"
    )
    commission_per_lot: float = Field(
        3.5, ge=0, le=100, description="account currency per lot and side, as your broker charges; the simulated one charges it too"
    )
    max_spread_to_stop: float = Field(0.35, gt=0, le=1, description="widest spread, as a share of the stop distance")
    cooldown_bars: int = Field(3, ge=0, le=10_000, description="bars without an entry on a symbol after a losing trade")
    max_margin_percent: float = Field(30.0, gt=0, le=100, description="% of equity that margin may take, the new order included")
    max_currency_risk_percent: float = Field(
        1.0, gt=0, le=100, description="RISK: % of equity lost at the stops of all positions for or against one currency, hedges set off"
    )
    max_currency_exposure_percent: float = Field(
        3_000.0, gt=0, le=100_000, description="market value held in one currency, longs and shorts added, as % of equity"
    )
    max_correlation: float = Field(0.7, ge=0, le=1, description="symbols whose returns correlate above this count as one bet")
    max_correlated_positions: int = Field(2, ge=1, le=100, description="positions that are one bet, the new one included")
    max_orders_per_hour: int = Field(60, ge=1, le=10_000, description="entries in any hour, all symbols; stops a runaway")
    max_drawdown_percent: float = Field(
        10.0, gt=0, le=100, description="RISK: % below the highest equity at which entries stop until `resume --drawdown`"
    )


class ExitSettings(Section):
    """Where a trade ends; labels, gate and live trading share these."""

    atr_sl_multiplier: float = Field(1.5, gt=0, le=20, description="stop distance in ATR")
    atr_tp_multiplier: float = Field(1.5, gt=0, le=40, description="target distance in ATR, before the stop is widened for costs")
    min_stop_costs: float = Field(5.0, ge=0, le=100, description="least stop distance in round-trip costs")
    horizon_bars: int = Field(15, ge=2, le=1_000, description="bars after which a trade is closed")
    break_even_r: float = Field(0.0, ge=0, le=20, description="profit in R at which the stop moves to the entry; 0 = off")
    break_even_offset: float = Field(0.0, ge=0, le=20, description="round-trip costs beyond the entry at which that stop stands")
    trail_atr_multiplier: float = Field(0.0, ge=0, le=40, description="ATR at which the stop follows the closes; 0 = off")
    trail_start_r: float = Field(0.0, ge=0, le=20, description="profit in R from which on the stop follows")
    partial_close_r: float = Field(0.0, ge=0, le=20, description="profit in R at which a part is closed, once; 0 = off")
    partial_close_fraction: float = Field(0.5, gt=0, lt=1, description="share of the opened volume that is closed then")


class FilterSettings(Section):
    """Vetoes before an order is considered."""

    min_votes: int = Field(1, ge=1, le=10, description="models that must take the side")
    ensemble_weights: Literal["equal", "skill"] = Field(
        "equal", description="skill: a vote counts by what the gate saw its version earn; the stronger of two that disagree wins"
    )
    blocked_hours: Hours = Field((16, 17), description="hours of day in New York without entries; 17 is the rollover")
    trading_sessions: Sessions = Field(
        (),
        description="entries only inside these, such as London 08:00-17:00 in the city's own time; models learn from these alone; none: at all hours",
    )
    weekend_minutes: int = Field(30, ge=0, le=2_880, description="minutes before Friday 17:00 New York without entries; 0 = off")


class NewsSettings(Section):
    """Scheduled releases, from a file that you or a script in the terminal keeps."""

    news_file: Annotated[Path, AfterValidator(plain_path)] | None = Field(
        None, description="CSV or JSON with time (or time_server), currency, impact, title; none: no news window"
    )
    news_before_minutes: int = Field(15, ge=0, le=1_440, description="minutes without entries before a release")
    news_after_minutes: int = Field(15, ge=0, le=1_440, description="minutes without entries after it")
    news_impact: Literal["low", "medium", "high"] = Field("high", description="least impact that counts")
    news_required: bool = Field(False, description="true: no entries while the file is missing, faulty or stale")
    news_max_age_hours: float = Field(168.0, gt=0, le=8_760, description="a file written longer ago is stale")


class LogSettings(Section):
    """Logs of the daemon."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severity that is written")
    heartbeat_seconds: float = Field(60.0, ge=1, le=3_600, description="seconds between heartbeat lines")


class Settings(BaseSettings):
    """All sections, checked as a whole and frozen; read once at start and handed down by section."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    terminal: TerminalSettings = TerminalSettings()
    symbols: SymbolSettings = SymbolSettings()
    data: DataSettings = DataSettings()
    simulation: SimulationSettings = SimulationSettings()
    models: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    watch: WatchSettings = WatchSettings()
    lstm: LstmSettings = LstmSettings()
    gate: GateSettings = GateSettings()
    life: LifeSettings = LifeSettings()
    risk: RiskSettings = RiskSettings()
    exits: ExitSettings = ExitSettings()
    filters: FilterSettings = FilterSettings()
    news: NewsSettings = NewsSettings()
    logs: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over `.env`, each with flat names."""
        return (init_settings, FlatSource(settings_cls, env_settings), FlatSource(settings_cls, dotenv_settings))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = _contradictions(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def uses_mt5(self) -> bool:
        """Whether a real terminal is meant: asked for, or `auto` with a login."""
        chosen = self.terminal.terminal
        return chosen == "mt5" or (chosen == "auto" and self.terminal.mt5_login is not None)


def _contradictions(settings: Settings) -> list[str]:
    """Values that are right alone and wrong together."""
    rules: list[tuple[bool, str]] = [
        (
            settings.gate.gate_profile == "threshold" and settings.terminal.trade_mode == "live",
            "GATE_PROFILE=threshold with TRADE_MODE=live: the threshold profile proves nothing about profit; use GATE_PROFILE=strict",
        ),
        (settings.models.use_lag_llama, "USE_LAG_LLAMA=true: this version has no such forecaster; set it to false"),
        (
            settings.terminal.terminal == "mt5" and settings.terminal.mt5_login is None,
            "TERMINAL=mt5 without MT5_LOGIN: set MT5_LOGIN, MT5_PASSWORD and MT5_SERVER",
        ),
        (
            settings.uses_mt5 and settings.terminal.mt5_login is not None and not settings.terminal.mt5_server,
            "MT5_LOGIN without MT5_SERVER: set it to the broker's server name as the terminal shows it",
        ),
        (
            settings.uses_mt5 and bool(settings.simulation.sim_faults),
            "SIM_FAULTS with a real terminal: faults are rehearsed on the simulated one only; leave it empty, or set TERMINAL=simulated",
        ),
        (
            settings.models.model_path == settings.models.xgb_model_path,
            "MODEL_PATH equals XGB_MODEL_PATH: each model kind needs its own file stem",
        ),
        (
            not (settings.models.use_random_forest or settings.models.use_xgboost or settings.models.use_lstm),
            "USE_RANDOM_FOREST, USE_XGBOOST and USE_LSTM are all false: nothing could ever vote",
        ),
        (
            settings.exits.break_even_offset > settings.exits.break_even_r * settings.exits.min_stop_costs > 0,
            "BREAK_EVEN_OFFSET lies beyond the price at which BREAK_EVEN_R moves the stop: lower it to BREAK_EVEN_R x MIN_STOP_COSTS or less",
        ),
        (
            settings.news.news_required and settings.news.news_file is None,
            "NEWS_REQUIRED=true without NEWS_FILE: every entry would be refused; name the file",
        ),
    ]
    return [text for wrong, text in rules if wrong]
