"""How far each endpoint's history has been announced, in DynamoDB: one item an endpoint, ``pk`` its name."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.errors import Unavailable


class DynamoDBAnnouncementCursor:
    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def position(self, endpoint: str) -> int:
        try:
            response = self._client.get_item(
                TableName=self._table, Key={"pk": {"S": endpoint}}, ConsistentRead=True
            )
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(error) from error
        item = response.get("Item")
        return int(item["announced"]["N"]) if item else 0

    def move(self, endpoint: str, number: int) -> None:
        try:
            self._client.put_item(
                TableName=self._table,
                Item={"pk": {"S": endpoint}, "announced": {"N": str(number)}},
                ConditionExpression="attribute_not_exists(pk) OR announced < :number",
                ExpressionAttributeValues={":number": {"N": str(number)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # another run was here, or further
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"The cursor of announcements cannot be reached: {type(error).__name__}.")
