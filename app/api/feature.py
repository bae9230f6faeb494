from app.api import bp
from app.api.models import IdempotentAnswer
from app.api.service import KEPT_FOR
from app.core.feature import Feature
from app.core.retention import purge_where

feature = Feature(
    name="api",
    blueprints=(bp,),
    purges=(purge_where(IdempotentAnswer, lambda work: IdempotentAnswer.created_at < work.clock() - KEPT_FOR),),
)
