"""The check of permissions can say no."""

import unittest

from recorder import Access, allowed, parts, statements

TABLE = {"Fn::ImportValue": "TableArn"}
READ = {
    "Action": ["dynamodb:GetItem", "dynamodb:Query"],
    "Resource": TABLE,
    "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["D#*", "P#config"]}},
}
TIMERS = {"Action": "dynamodb:Query", "Resource": {"Fn::Join": ["", [TABLE, "/index/timers"]]}}


def access(action: str, partition: str, index: str = "") -> Access:
    return Access("f", action, partition, index)


class Allowed(unittest.TestCase):
    def test_only_the_named_items(self):
        self.assertTrue(allowed(access("GetItem", "D#chat#1"), [READ]))
        self.assertTrue(allowed(access("GetItem", "P#config"), [READ]))
        for partition in ("A#a-1", "P#note", "D"):
            self.assertFalse(allowed(access("GetItem", partition), [READ]), partition)

    def test_only_the_named_actions(self):
        self.assertFalse(allowed(access("PutItem", "D#chat#1"), [READ]))

    def test_an_index_is_not_the_table_and_the_table_is_no_index(self):
        self.assertTrue(allowed(access("Query", "W#2026-11-25#1", "timers"), [READ, TIMERS]))
        self.assertFalse(allowed(access("Query", "O#web#1", "by-owner"), [READ, TIMERS]))
        self.assertFalse(allowed(access("Query", "A#a-1"), [READ, TIMERS]))

    def test_without_a_condition_every_item(self):
        self.assertTrue(allowed(access("GetItem", "A#a-1"), [{**READ, "Condition": {}}]))


class Parts(unittest.TestCase):
    def test_a_batch_is_each_of_its_items(self):
        put = {"PutRequest": {"Item": {"pk": {"S": "C#1"}}}}
        delete = {"DeleteRequest": {"Key": {"pk": {"S": "C#2"}}}}
        found = list(parts("BatchWriteItem", {"RequestItems": {"t": [put, delete]}}))
        self.assertEqual(found, [("BatchWriteItem", "C#1", ""), ("BatchWriteItem", "C#2", "")])

    def test_a_transaction_is_what_its_parts_are(self):
        items = [{"Put": {"Item": {"pk": {"S": "A#1"}}}}, {"Update": {"Key": {"pk": {"S": "T#open"}}}},
                 {"ConditionCheck": {"Key": {"pk": {"S": "S#1"}}}}]
        found = [(action, partition) for action, partition, _ in parts("TransactWriteItems", {"TransactItems": items})]
        self.assertEqual(found, [("PutItem", "A#1"), ("UpdateItem", "T#open"), ("ConditionCheckItem", "S#1")])

    def test_a_query_is_of_the_partition_that_its_condition_names(self):
        body = {"KeyConditionExpression": "#p = :p AND #s > :a", "ExpressionAttributeValues": {":p": {"S": "W#1"}, ":a": {"S": "x"}}}
        self.assertEqual(list(parts("Query", {**body, "IndexName": "timers"})), [("Query", "W#1", "timers")])

    def test_what_is_not_known_is_not_allowed(self):
        [(action, partition, index)] = parts("Scan", {})
        self.assertFalse(allowed(access(action, partition, index), [READ]))


class Statements(unittest.TestCase):
    def test_are_those_of_the_functions_role_alone(self):
        policy = lambda role, statement: {"Type": "AWS::IAM::Policy", "Properties": {
            "Roles": [{"Ref": role}], "PolicyDocument": {"Statement": [statement]}}}
        template = {"Resources": {
            "F": {"Type": "AWS::Lambda::Function", "Properties": {"FunctionName": "f", "Role": {"Fn::GetAtt": ["R", "Arn"]}}},
            "P": policy("R", READ),
            "Q": policy("Other", TIMERS),
        }}
        self.assertEqual(statements(template, "f"), [READ])


if __name__ == "__main__":
    unittest.main()
